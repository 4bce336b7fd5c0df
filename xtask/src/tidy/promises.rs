//! Laws: an `expect` states its invariant, and no test is switched off.

use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, Lit, Meta};

use super::Violation;
use super::rust_source::{is_test_path, marks_test, parse};
use super::tree::Tree;

/// How the text of an `expect` outside tests begins.
const INVARIANT: &str = "invariant: ";

/// A violation for every `expect` outside tests whose text states no invariant.
pub fn expects(tree: &Tree) -> Vec<Violation> {
    walk(tree, |walk| walk.expects)
}

/// A violation for every ignored test, documentation's examples included.
pub fn ignored(tree: &Tree) -> Vec<Violation> {
    walk(tree, |walk| walk.ignored)
}

fn walk(tree: &Tree, pick: fn(Walk) -> Vec<(usize, String)>) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.with_extension("rs") {
        // That a file is not Rust is said by the law of lengths.
        let Ok(syntax) = parse(file) else { continue };
        let mut walk = Walk {
            in_test: is_test_path(&file.path),
            ..Walk::default()
        };
        walk.visit_file(&syntax);
        found.extend(
            pick(walk)
                .into_iter()
                .map(|(line, message)| Violation::new(&file.path, line, message)),
        );
    }
    found
}

#[derive(Default)]
struct Walk {
    in_test: bool,
    expects: Vec<(usize, String)>,
    ignored: Vec<(usize, String)>,
}

impl Walk {
    fn within(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let outside = self.in_test;
        self.in_test |= marks_test(attributes);
        visit(self);
        self.in_test = outside;
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within(&item.attrs, |walk| visit::visit_item_mod(walk, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.within(&item.attrs, |walk| visit::visit_item_impl(walk, item));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(&item.attrs, |walk| visit::visit_item_fn(walk, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within(&item.attrs, |walk| visit::visit_impl_item_fn(walk, item));
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if !self.in_test && call.method == "expect" && call.args.len() == 1 {
            let text = call.args.first().and_then(string);
            if text.is_some_and(|text| !text.starts_with(INVARIANT)) {
                let message = format!("expect(\"{INVARIANT}...\"), or return an error");
                let line = call.method.span().start().line;
                self.expects.push((line, message));
            }
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let line = attribute.pound_token.span.start().line;
        if attribute.path().is_ident("ignore") {
            let message = "a test is ignored: mend it or take it out";
            self.ignored.push((line, message.to_owned()));
        }
        if let Meta::NameValue(documentation) = &attribute.meta
            && attribute.path().is_ident("doc")
            && string(&documentation.value).is_some_and(|text| text.contains("```ignore"))
        {
            let message = "an example is ignored: let it compile, or fence it as `text`";
            self.ignored.push((line, message.to_owned()));
        }
    }
}

fn string(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(law: fn(&Tree) -> Vec<Violation>, path: &str, text: &str) -> Option<usize> {
        let found = law(&Tree::of(&[(path, text)]));
        found.first().map(|violation| violation.line)
    }

    #[test]
    fn an_expect_states_its_invariant() {
        for (text, broken_at) in [
            (
                r#"fn f() { a().expect("invariant: a is set in new"); }"#,
                None,
            ),
            (r#"fn f() { a().expect("a is set"); }"#, Some(1)),
            ("fn f() {\n    a()\n        .expect(\"\");\n}", Some(3)),
            (r#"fn f() { a().map(|b| b.expect("b")); }"#, Some(1)),
            (r#"#[test] fn f() { a().expect("a"); }"#, None),
            (
                r#"#[cfg(test)] mod t { fn f() { a().expect("a"); } }"#,
                None,
            ),
            (
                r#"#[cfg(test)] mod t {} fn f() { a().expect("a"); }"#,
                Some(1),
            ),
            (
                r#"fn f(p: &mut Parser) { p.expect("(", Kind::Open); }"#,
                None,
            ),
            ("fn f(p: &mut Parser) { p.expect(Kind::Open); }", None),
        ] {
            assert_eq!(line(expects, "routing/src/a.rs", text), broken_at, "{text}");
        }
        let text = r#"fn f() { a().expect("a"); }"#;
        assert_eq!(line(expects, "routing/tests/a.rs", text), None);
    }

    #[test]
    fn no_test_is_ignored() {
        for (text, broken_at) in [
            ("#[test] fn f() {}", None),
            ("#[test]\n#[ignore]\nfn f() {}", Some(2)),
            ("#[test]\n#[ignore = \"slow\"]\nfn f() {}", Some(2)),
            ("/// ```\n/// f();\n/// ```\nfn f() {}", None),
            ("/// ```ignore\n/// f();\n/// ```\nfn f() {}", Some(1)),
            ("//! text\n//! ```ignore\n//! ```", Some(2)),
            ("/// ```text\n/// f\n/// ```\nfn f() {}", None),
        ] {
            assert_eq!(line(ignored, "routing/src/a.rs", text), broken_at, "{text}");
        }
    }
}
