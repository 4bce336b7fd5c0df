//! Every error as its reader meets it.

use super::*;

fn every() -> Vec<GatewayError> {
    let limit = Duration::from_secs(30);
    let reason = "expected `:` at line 1 column 9".to_owned();
    vec![
        GatewayError::NoSuchModel {
            model: "gpt-5".to_owned(),
            known: vec!["llama".to_owned(), "qwen".to_owned()],
        },
        GatewayError::NoSuchRoute {
            model: "chat".to_owned(),
        },
        GatewayError::NoSuchTarget {
            target: "blue".to_owned(),
            known: vec!["stable".to_owned(), "canary".to_owned()],
        },
        GatewayError::NoSuchGuard {
            route: "chat".to_owned(),
            target: "canary".to_owned(),
        },
        GatewayError::NoSuchPath,
        GatewayError::EngineControl,
        GatewayError::WrongMethod { allowed: "GET" },
        GatewayError::BadRequest { reason },
        GatewayError::BadFraming {
            reason: "two lengths",
        },
        GatewayError::BodyTooLarge { limit_bytes: 42 },
        GatewayError::BodyTimeout { limit },
        GatewayError::Saturated,
        GatewayError::NoEndpoint,
        GatewayError::EndpointUnreachable,
        GatewayError::EndpointBroken,
        GatewayError::EndpointTimeout { limit },
        GatewayError::ShuttingDown,
        GatewayError::Internal {
            detail: "secret".to_owned(),
        },
    ]
}

fn body(error: &GatewayError, shape: ErrorShape) -> serde_json::Value {
    serde_json::from_slice(&error.response(shape, "req-1").body).unwrap()
}

#[test]
fn says_whose_fault_whether_to_retry_and_what_to_do() {
    let table = every().iter().fold(String::new(), |table, error| {
        let retry = match (error.is_retryable(), error.retry_after()) {
            (_, Some(pause)) => format!("retry after {} s", pause.as_secs()),
            (true, None) => "retry".to_owned(),
            (false, None) => "-".to_owned(),
        };
        let body = body(error, ErrorShape::Anthropic);
        format!(
            "{table}{} {} | {} | {retry} | {} | {error}\n",
            error.status().as_u16(),
            error.code(),
            error.fault().label(),
            body["error"]["type"].as_str().unwrap(),
        )
    });
    insta::assert_snapshot!(table, @"
    404 model_not_found | client | - | not_found_error | the model `gpt-5` does not exist here; use one of: llama, qwen
    404 route_not_found | client | - | not_found_error | the model `chat` is served to requests with other headers or at another path only; ask the operator for the rules of its routes
    400 target_not_found | client | - | invalid_request_error | the route has no target `blue`; use one of: stable, canary
    404 guard_not_found | client | - | not_found_error | no guard watches a target `canary` of a route `chat`; GET /routes lists them
    404 path_not_found | client | - | not_found_error | nothing is served at this path; check the base URL
    403 engine_control | client | - | invalid_request_error | engines' controls are not served here; call the engine itself
    405 wrong_method | client | - | invalid_request_error | this path takes GET only
    400 bad_request | client | - | invalid_request_error | expected `:` at line 1 column 9
    400 bad_framing | client | - | invalid_request_error | the length of the body cannot be told (two lengths); send one content-length or a complete chunked body
    413 body_too_large | client | - | request_too_large | the body is too large; shorten it: the limit is 42 bytes
    408 body_timeout | client | retry | invalid_request_error | the body did not arrive within 30 s; retry
    429 saturated | control_plane | retry after 1 s | rate_limit_error | all endpoints are saturated; retry after 1 s
    503 no_endpoint | control_plane | retry after 1 s | overloaded_error | no endpoint takes requests now; retry after 1 s
    502 endpoint_unreachable | endpoint | retry | api_error | no connection to a model server could be made; retry
    502 endpoint_broken | endpoint | retry | api_error | the model server broke the connection before it answered; retry
    504 endpoint_timeout | endpoint | retry | timeout_error | the model server did not answer within 30 s; shorten the prompt or retry later
    503 shutting_down | gateway | retry after 1 s | overloaded_error | the gateway is shutting down; retry
    500 internal | gateway | retry | api_error | the gateway has a bug, which was logged and counted; retry, and report it with the request id
    ");
}

#[test]
fn has_the_shape_of_the_api() {
    let error = &every()[0];
    insta::assert_json_snapshot!(body(error, ErrorShape::OpenAi), @r#"
    {
      "error": {
        "code": "model_not_found",
        "message": "the model `gpt-5` does not exist here; use one of: llama, qwen",
        "param": "model",
        "type": "invalid_request_error"
      }
    }
    "#);
    insta::assert_json_snapshot!(body(error, ErrorShape::Anthropic), @r#"
    {
      "error": {
        "message": "the model `gpt-5` does not exist here; use one of: llama, qwen",
        "type": "not_found_error"
      },
      "request_id": "req-1",
      "type": "error"
    }
    "#);
}

#[test]
fn headers_help_clients_to_come_back() {
    let header = |error: &GatewayError, name: HeaderName| {
        let headers = error.response(ErrorShape::OpenAi, "").headers;
        let found = headers.into_iter().find(|(found, _)| *found == name)?;
        Some(found.1.to_str().unwrap().to_owned())
    };
    for error in every() {
        let pause = error.retry_after().map(|pause| pause.as_secs().to_string());
        assert_eq!(header(&error, header::RETRY_AFTER), pause, "{error:?}");
        let json = Some("application/json".to_owned());
        assert_eq!(header(&error, header::CONTENT_TYPE), json);
    }
    let wrong = GatewayError::WrongMethod { allowed: "GET" };
    assert_eq!(header(&wrong, header::ALLOW), Some("GET".to_owned()));
}

#[test]
fn lists_as_many_models_as_the_limit_and_no_more() {
    for (count, more) in [(KNOWN_MODELS_MAX, false), (KNOWN_MODELS_MAX + 1, true)] {
        let known: Vec<_> = (0..count).map(|n| format!("model-{n}")).collect();
        let model = String::new();
        let text = GatewayError::NoSuchModel { model, known }.to_string();
        let last = format!("model-{}", KNOWN_MODELS_MAX - 1);
        assert!(text.contains(&last), "{text}");
        assert_eq!(text.contains("and 1 more"), more, "{text}");
        assert!(
            !text.contains(&format!("model-{KNOWN_MODELS_MAX}")),
            "{text}"
        );
    }
}

#[test]
fn repeats_as_much_of_a_name_as_the_limit_and_no_more() {
    for (name, kept) in [
        ("a".repeat(ECHO_BYTES_MAX), ECHO_BYTES_MAX),
        ("a".repeat(ECHO_BYTES_MAX + 1), ECHO_BYTES_MAX),
        ("\u{20ac}".repeat(ECHO_BYTES_MAX), ECHO_BYTES_MAX / 3 * 3),
    ] {
        let dots = if name.len() > ECHO_BYTES_MAX { 3 } else { 0 };
        assert_eq!(shorten(&name).len(), kept + dots);
    }
}

#[test]
fn what_is_for_the_log_is_not_sent() {
    let error = every().pop().unwrap();
    for shape in [ErrorShape::OpenAi, ErrorShape::Anthropic] {
        assert!(!body(&error, shape).to_string().contains("secret"));
    }
}
