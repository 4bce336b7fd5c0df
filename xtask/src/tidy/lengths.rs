//! Laws: a file is one sitting, a function is one screen.
//!
//! A function's length is the number of lines between the braces of its body, blank lines
//! and comments included, for that is what a screen holds. In tests the lines of tables
//! count as nothing: arrays, `vec!`, `json!` and strings that hold no code. Functions that
//! a macro writes, as those inside `proptest!`, are not seen.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr};

use super::Violation;
use super::rust_source::{is_test_path, marks_test, parse};
use super::tree::Tree;

/// A Rust file longer than this does not pass.
const FILE_LINES_MAX: usize = 500;
/// A function whose body is longer than this does not pass.
const FUNCTION_LINES_MAX: usize = 70;

/// A violation for every Rust file that is too long.
pub fn files(tree: &Tree) -> Vec<Violation> {
    tree.with_extension("rs")
        .filter_map(|file| {
            let lines = file.text.lines().count();
            let message = format!("{lines} lines, {FILE_LINES_MAX} at most: find the second noun");
            (lines > FILE_LINES_MAX).then(|| Violation::new(&file.path, lines, message))
        })
        .collect()
}

/// A violation for every function that is too long, and for a file that is not Rust.
pub fn functions(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.with_extension("rs") {
        match parse(file) {
            Ok(syntax) => {
                let mut walk = Functions {
                    path: &file.path,
                    in_test: is_test_path(&file.path),
                    found: &mut found,
                };
                walk.visit_file(&syntax);
            }
            Err(violation) => found.push(violation),
        }
    }
    found
}

struct Functions<'a> {
    path: &'a str,
    in_test: bool,
    found: &'a mut Vec<Violation>,
}

impl Functions<'_> {
    fn function(&mut self, name: &syn::Ident, attributes: &[Attribute], body: &Block) {
        let braces = body.brace_token.span;
        let open = braces.open().start().line;
        let close = braces.close().start().line;
        let mut lines = close.saturating_sub(open + 1);
        if self.in_test || marks_test(attributes) {
            let mut tables = Tables::default();
            tables.visit_block(body);
            lines -= tables.lines.range(open + 1..close).count();
        }
        if lines > FUNCTION_LINES_MAX {
            let message =
                format!("`{name}` has {lines} lines, {FUNCTION_LINES_MAX} at most: name its parts");
            let line = name.span().start().line;
            self.found.push(Violation::new(self.path, line, message));
        }
    }

    fn within(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let outside = self.in_test;
        self.in_test |= marks_test(attributes);
        visit(self);
        self.in_test = outside;
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within(&item.attrs, |walk| visit::visit_item_mod(walk, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.within(&item.attrs, |walk| visit::visit_item_impl(walk, item));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, &item.attrs, &item.block);
        self.within(&item.attrs, |walk| visit::visit_item_fn(walk, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, &item.attrs, &item.block);
        self.within(&item.attrs, |walk| visit::visit_impl_item_fn(walk, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig.ident, &item.attrs, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// The lines that tables take, less the first of each, which stays to be counted.
#[derive(Default)]
struct Tables {
    lines: BTreeSet<usize>,
}

impl Tables {
    fn take(&mut self, span: Span) {
        self.lines.extend(after_first(span, span));
    }

    fn take_if_data<'a>(&mut self, first: Span, last: Span, rows: impl Iterator<Item = &'a Expr>) {
        let mut code = Code(false);
        rows.for_each(|row| code.visit_expr(row));
        if !code.0 {
            self.lines.extend(after_first(first, last));
        }
    }

    fn strings_in(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Literal(literal) => self.take(literal.span()),
                TokenTree::Group(group) => self.strings_in(group.stream()),
                _ => {}
            }
        }
    }
}

fn after_first(first: Span, last: Span) -> RangeInclusive<usize> {
    first.start().line + 1..=last.end().line
}

impl<'ast> Visit<'ast> for Tables {
    fn visit_expr_array(&mut self, array: &'ast syn::ExprArray) {
        let brackets = array.bracket_token.span;
        self.take_if_data(brackets.open(), brackets.close(), array.elems.iter());
        visit::visit_expr_array(self, array);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let delimiters = call.delimiter.span();
        let (open, close) = (delimiters.open(), delimiters.close());
        if call.path.is_ident("vec") {
            let rows = Punctuated::<Expr, syn::Token![,]>::parse_terminated;
            if let Ok(rows) = call.parse_body_with(rows) {
                self.take_if_data(open, close, rows.iter());
            }
        } else if call
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "json")
        {
            self.lines.extend(after_first(open, close));
        }
        self.strings_in(call.tokens.clone());
    }

    fn visit_lit(&mut self, literal: &'ast syn::Lit) {
        self.take(literal.span());
    }
}

/// Whether an expression has statements in it, which makes it no table.
struct Code(bool);

impl<'ast> Visit<'ast> for Code {
    fn visit_block(&mut self, _: &'ast Block) {
        self.0 = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<usize> {
        let found = functions(&Tree::of(&[(path, text)]));
        found.iter().map(|violation| violation.line).collect()
    }

    fn body(lines: usize) -> String {
        "    step();\n".repeat(lines)
    }

    #[test]
    fn a_file_may_have_500_lines() {
        let count = |lines: usize| files(&Tree::of(&[("a.rs", &"\n".repeat(lines))])).len();
        assert_eq!((count(500), count(501)), (0, 1));
        assert!(files(&Tree::of(&[("a.json", &"\n".repeat(900))])).is_empty());
    }

    #[test]
    fn a_function_of_any_kind_may_have_70_lines() {
        for (before, after) in [
            ("fn f() {\n", "}\n"),
            ("async fn f()\nwhere\n    A: B,\n{\n", "}\n"),
            ("struct S;\nimpl S {\nfn f(&self) {\n", "}\n}\n"),
            ("trait T {\nfn f(&self) {\n", "}\n}\n"),
            ("mod m {\nfn f() {\n", "}\n}\n"),
            ("fn outer() {\nfn f() {\n", "}\n}\n"),
            ("#[test]\nfn f() {\n", "}\n"),
        ] {
            let of = |lines| broken("a.rs", &format!("{before}{}{after}", body(lines)));
            assert_eq!(
                of(70).len(),
                usize::from(before.contains("outer")),
                "{before}"
            );
            assert!(!of(71).is_empty(), "{before}");
        }
    }

    #[test]
    fn comments_and_blank_lines_fill_a_screen_too() {
        let text = format!("fn f() {{\n{}}}\n", "    // why\n\n".repeat(36));
        assert_eq!(broken("a.rs", &text), [1]);
    }

    #[test]
    fn tables_are_free_in_tests_only() {
        let rows = "        (1, 2),\n".repeat(90);
        let tables = [
            format!("    let t = [\n{rows}    ];\n"),
            format!("    let t = vec![\n{rows}    ];\n"),
            format!("    let t = json!([\n{rows}    ]);\n"),
            format!("    let t = \"\n{rows}    \";\n"),
            format!("    assert_snapshot!(x, @\"\n{rows}    \");\n"),
        ];
        for table in &tables {
            let test = format!("#[test]\nfn f() {{\n{table}}}\n");
            assert_eq!(broken("a.rs", &test), [0; 0], "{table}");
            let plain = format!("fn f() {{\n{table}}}\n");
            assert_eq!(broken("a.rs", &plain), [1], "{table}");
            assert_eq!(broken("routing/tests/a.rs", &plain), [0; 0], "{table}");
        }
    }

    #[test]
    fn code_in_a_table_is_code() {
        let closure = format!("        || {{\n{}        }},\n", body(90));
        let test = format!("#[test]\nfn f() {{\n    let t = [\n{closure}    ];\n}}\n");
        assert_eq!(broken("a.rs", &test), [2]);
    }

    #[test]
    fn code_beside_a_table_is_counted() {
        let rows = "        (1, 2),\n".repeat(90);
        let test = |lines| {
            let code = body(lines);
            format!(
                "#[cfg(test)]\nmod t {{\nfn f() {{\n    let t = [\n{rows}    ];\n{code}}}\n}}\n"
            )
        };
        assert_eq!(broken("a.rs", &test(69)), [0; 0]);
        assert_eq!(broken("a.rs", &test(70)), [3]);
    }

    #[test]
    fn what_is_not_rust_is_said_so() {
        let found = functions(&Tree::of(&[("a.rs", "fn f() {}\nfn {\n")]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2, "{found:?}");
    }
}
