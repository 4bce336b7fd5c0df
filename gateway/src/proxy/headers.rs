//! Which headers cross the gateway, in either direction.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use warmgate_routing::Endpoint;

use crate::config::Head;

/// Names this gateway adds to answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Host and port that answered.
pub const ENDPOINT: HeaderName = HeaderName::from_static("x-warmgate-endpoint");
/// In an answer: name of the route's target that the request went to. In a request: the target that
/// is asked for, where its route allows that.
pub const TARGET: HeaderName = HeaderName::from_static("x-warmgate-target");
/// In a request to an endpoint: it is a copy for a mirror, whose answer nobody reads.
pub const MIRROR: HeaderName = HeaderName::from_static("x-warmgate-mirror");
/// In a request: asks for the decision.
pub const EXPLAIN: HeaderName = HeaderName::from_static("x-warmgate-explain");
/// In an answer: the decision as one line of JSON.
pub const DECISION: HeaderName = HeaderName::from_static("x-warmgate-decision");

/// Longest request id that is honoured; vLLM puts it into ids and log lines.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Meant for one connection only (RFC 9110 section 7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
];

/// Instructions between routers and engines that no client may give.
const INTERNAL: [&str; 8] = [
    // vLLM: scheduling priority.
    "x-vllm-priority",
    // llm-d's sidecar would connect to whatever address stands here.
    "x-prefiller-host-port",
    "x-encoder-hosts-ports",
    "x-data-parallel-host-port",
    "x-kv-cache-source-host-port",
    // vLLM and SGLang: rank inside one engine.
    "x-data-parallel-rank",
    // llama.cpp goes on generating for a conversation after the client has left.
    "x-conversation-id",
    // Answered here, before the body was read.
    "expect",
];

/// Families of such instructions: SGLang's overrides, endpoint pickers, and our own.
const INTERNAL_PREFIXES: [&str; 3] = [
    "x-override-",
    "x-gateway-destination-endpoint",
    "x-warmgate-",
];

/// A client's request as routes look at it.
#[must_use]
pub fn head(request: &RequestHeader) -> Head<'_> {
    // HTTP/2 names the host beside the path.
    let host = request.uri.host().or_else(|| host_of(&request.headers));
    Head {
        method: &request.method,
        host,
        path: request.uri.path(),
        headers: &request.headers,
    }
}

/// A request that is described: a POST, for the host that its headers name.
#[must_use]
pub fn described<'a>(path: &'a str, headers: &'a HeaderMap) -> Head<'a> {
    Head {
        method: &Method::POST,
        host: host_of(headers),
        path,
        headers,
    }
}

/// The host that `Host` names, without its port.
fn host_of(headers: &HeaderMap) -> Option<&str> {
    let named = headers.get(header::HOST)?.to_str().ok()?;
    let has_port = named
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    Some(has_port.map_or(named, |(host, _)| host))
}

/// The request as an endpoint gets it, but for the host: same method, path and headers save those
/// that must not cross, with the length of the body that is really sent.
///
/// # Errors
/// Where Pingora refuses a header that it accepted before, which would be a bug.
pub fn for_endpoint(
    client: &RequestHeader,
    body_bytes: usize,
    request_id: &HeaderValue,
) -> pingora::Result<RequestHeader> {
    let room = Some(client.headers.len() + 3);
    // Without the case of names as the client wrote them, which nobody needs and costs a second map.
    let mut request = RequestHeader::build_no_case(client.method.clone(), client.raw_path(), room)?;
    let nominated = connection_options(&client.headers);
    for (name, value) in &client.headers {
        let is_ours = name == header::HOST
            || name == header::CONTENT_LENGTH
            || name == header::TRANSFER_ENCODING
            || name == REQUEST_ID;
        if !is_ours && !is_hop_by_hop(name, &nominated) && !is_internal(name) {
            request.append_header(name.clone(), value.clone())?;
        }
    }
    request.insert_header(header::CONTENT_LENGTH, body_bytes)?;
    request.insert_header(REQUEST_ID, request_id.clone())?;
    Ok(request)
}

/// The request with the host of the endpoint that it goes to.
///
/// # Errors
/// Where the endpoint's host and port are no header value, which its source should have refused.
pub fn addressed(request: &RequestHeader, endpoint: &Endpoint) -> pingora::Result<RequestHeader> {
    let mut request = request.clone();
    request.insert_header(header::HOST, &*endpoint.spec.authority)?;
    Ok(request)
}

/// How the body of an answer reaches the client.
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    /// The client's version of HTTP has chunks; others have frames, or the end of the connection.
    pub takes_chunks: bool,
    /// The body is passed on as long as it came.
    pub keeps_length: bool,
}

/// Prepares an endpoint's answer for a client that may speak another version of HTTP, with the headers that this gateway adds; a request id that the engine gave
/// itself is kept.
///
/// # Errors
/// Where a header of ours is refused, which would be a bug.
pub fn for_client(
    answer: &ResponseHeader,
    framing: Framing,
    added: &[(HeaderName, HeaderValue)],
) -> pingora::Result<ResponseHeader> {
    let mut response = answer.clone();
    let nominated = connection_options(&answer.headers);
    let gone: Vec<HeaderName> = answer
        .headers
        .keys()
        .filter(|name| is_hop_by_hop(name, &nominated))
        .cloned()
        .collect();
    for name in gone {
        response.remove_header(&name);
    }
    let had_length =
        !framing.keeps_length && response.remove_header(&header::CONTENT_LENGTH).is_some();
    if !framing.takes_chunks {
        response.remove_header(&header::TRANSFER_ENCODING);
    } else if had_length {
        response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    if answer.version == Version::HTTP_2 {
        // Frames end a body there, and no client of HTTP/1 would read the version.
        response.set_version(Version::HTTP_11);
        let has_body = ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&answer.status);
        let has_length = response.headers.contains_key(header::CONTENT_LENGTH);
        if framing.takes_chunks && has_body && !has_length {
            response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        }
    }
    for (name, value) in added {
        if *name != REQUEST_ID || !answer.headers.contains_key(REQUEST_ID) {
            response.insert_header(name.clone(), value.clone())?;
        }
    }
    Ok(response)
}

/// Removes from a request that Pingora forwards itself what no client may send.
pub fn strip_internal(request: &mut RequestHeader) {
    let gone: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| is_internal(name) && *name != header::EXPECT)
        .cloned()
        .collect();
    for name in gone {
        request.remove_header(&name);
    }
}

/// The client's request id where it is fit to be passed on.
#[must_use]
pub fn client_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let is_fit = (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
        && id.as_bytes().iter().all(u8::is_ascii_graphic);
    is_fit.then(|| id.clone())
}

fn connection_options(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONNECTION).into_iter();
    let options = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    options
        .map(|option| option.trim().to_ascii_lowercase())
        .filter(|option| !option.is_empty() && option != "close" && option != "keep-alive")
        .collect()
}

fn is_hop_by_hop(name: &HeaderName, nominated: &[String]) -> bool {
    HOP_BY_HOP.contains(&name.as_str()) || nominated.iter().any(|option| option == name.as_str())
}

fn is_internal(name: &HeaderName) -> bool {
    let name = name.as_str();
    INTERNAL.contains(&name)
        || INTERNAL_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use warmgate_routing::{EndpointId, EndpointSpec};

    fn endpoint() -> Endpoint {
        let address = ([127, 0, 0, 1], 8000).into();
        Endpoint::new(
            EndpointId(0),
            EndpointSpec::at("engine:8000", address, false),
        )
    }

    fn forwarded(headers: &[(&'static str, &str)]) -> Vec<(String, String)> {
        let mut client = RequestHeader::build(Method::POST, b"/v1/completions?x=1", None).unwrap();
        for (name, value) in headers {
            client.append_header(*name, *value).unwrap();
        }
        let id = HeaderValue::from_static("id-1");
        let request = for_endpoint(&client, 42, &id).unwrap();
        let request = addressed(&request, &endpoint()).unwrap();
        assert_eq!(request.raw_path(), b"/v1/completions?x=1");
        let mut names: Vec<_> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_must_not_cross_stays_behind() {
        let sent = [
            ("host", "client.example"),
            ("authorization", "Bearer kept"),
            ("content-type", "application/json"),
            ("transfer-encoding", "chunked"),
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("x-vllm-priority", "0"),
            ("x-override-rid", "1"),
            ("x-gateway-destination-endpoint-subset", "10.0.0.1"),
            ("x-warmgate-explain", "1"),
            ("x-data-parallel-rank", "3"),
        ];
        let expected = [
            ("authorization", "Bearer kept"),
            ("content-length", "42"),
            ("content-type", "application/json"),
            ("host", "engine:8000"),
            ("x-request-id", "id-1"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(forwarded(&sent), expected);
    }

    #[test]
    fn request_ids_are_honoured_up_to_the_limit() {
        let kept = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
            client_request_id(&headers).is_some()
        };
        assert!(kept("a") && kept(&"a".repeat(REQUEST_ID_BYTES_MAX)));
        assert!(!kept("") && !kept("a b") && !kept(&"a".repeat(REQUEST_ID_BYTES_MAX + 1)));
    }

    #[test]
    fn the_host_is_that_of_the_path_or_of_its_header_without_a_port() {
        let host = |path: &str, named: Option<&str>| {
            let mut request = RequestHeader::build("GET", path.as_bytes(), None).unwrap();
            if let Some(named) = named {
                request.append_header("host", named).unwrap();
            }
            head(&request).host.map(str::to_owned)
        };
        for (path, named, expected) in [
            ("/x", Some("chat.example.com"), Some("chat.example.com")),
            (
                "/x",
                Some("chat.example.com:8080"),
                Some("chat.example.com"),
            ),
            ("/x", Some("[2001:db8::1]:80"), Some("[2001:db8::1]")),
            ("/x", None, None),
        ] {
            assert_eq!(host(path, named).as_deref(), expected, "{named:?}");
        }
        let mut request = RequestHeader::build("GET", b"/x", None).unwrap();
        request.set_uri("https://Chat.example.com:443/x".parse().unwrap());
        assert_eq!(head(&request).host, Some("Chat.example.com"));
    }

    #[test]
    fn answers_lose_what_belongs_to_the_connection() {
        let mut answer = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("server", "uvicorn"),
        ] {
            answer.append_header(name, value).unwrap();
        }
        let added = [
            (REQUEST_ID, HeaderValue::from_static("id-1")),
            (ENDPOINT, HeaderValue::from_static("engine:8000")),
        ];
        let names = |takes_chunks| {
            let framing = Framing {
                takes_chunks,
                keeps_length: true,
            };
            let response = for_client(&answer, framing, &added).unwrap();
            let mut names: Vec<_> = response.headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(
            names(true),
            [
                "server",
                "transfer-encoding",
                "x-request-id",
                "x-warmgate-endpoint"
            ]
        );
        assert_eq!(
            names(false),
            ["server", "x-request-id", "x-warmgate-endpoint"]
        );
    }

    #[test]
    fn an_answer_whose_length_changes_is_framed_anew() {
        let mut answer = ResponseHeader::build(200, None).unwrap();
        answer.append_header("content-length", "7").unwrap();
        let framed = |takes_chunks, keeps_length| {
            let framing = Framing {
                takes_chunks,
                keeps_length,
            };
            let response = for_client(&answer, framing, &[]).unwrap();
            let has = |name| response.headers.contains_key(name);
            (has(header::CONTENT_LENGTH), has(header::TRANSFER_ENCODING))
        };
        assert_eq!(framed(true, true), (true, false));
        assert_eq!(framed(true, false), (false, true));
        assert_eq!(framed(false, false), (false, false));
    }

    #[test]
    fn an_answer_of_http_2_can_be_written_in_http_1() {
        let read = |status: StatusCode, length: Option<&str>, takes_chunks| {
            let mut answer = ResponseHeader::build(status, None).unwrap();
            answer.set_version(Version::HTTP_2);
            if let Some(length) = length {
                answer
                    .insert_header(header::CONTENT_LENGTH, length)
                    .unwrap();
            }
            let framing = Framing {
                takes_chunks,
                keeps_length: true,
            };
            let response = for_client(&answer, framing, &[]).unwrap();
            assert_eq!(response.version, Version::HTTP_11);
            response.headers.contains_key(header::TRANSFER_ENCODING)
        };
        assert!(read(StatusCode::OK, None, true));
        assert!(!read(StatusCode::OK, Some("2"), true));
        assert!(!read(StatusCode::OK, None, false));
        assert!(!read(StatusCode::NO_CONTENT, None, true));
    }
}
