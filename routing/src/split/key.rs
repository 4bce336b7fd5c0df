//! By which key a request is split: whatever stays the same from turn to turn.

use rand::RngCore;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::request::{InferenceRequest, RequestError, SessionKey};

/// Where a request falls among the targets of a route. The same in all replicas, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SplitKey(pub u64);

/// Hash of a client's API key; the key itself is never kept or logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ApiKey(u64);

/// Headers that carry an API key, in lower case, the one that counts most first.
const API_KEY_HEADERS: [&str; 3] = [
    "authorization", // OpenAI's clients, as `Bearer KEY`
    "x-api-key",     // Anthropic's clients
    "api-key",       // Azure's clients
];

/// Keeps API keys apart from sessions of the same text.
const API_KEY_SEED: u64 = 1;
/// Keeps openings apart from everything else.
const OPENING_SEED: u64 = 2;

impl ApiKey {
    /// From a request's headers, names in lower case.
    pub fn from_headers<'h>(
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Option<ApiKey> {
        let mut best: Option<(usize, &[u8])> = None;
        for (name, value) in headers {
            let Some(place) = API_KEY_HEADERS.iter().position(|known| *known == name) else {
                continue;
            };
            let value = value.trim_ascii();
            if !value.is_empty() && best.is_none_or(|(before, _)| place < before) {
                best = Some((place, value));
            }
        }
        best.map(|(_, value)| ApiKey(xxh3_64_with_seed(value, API_KEY_SEED)))
    }
}

/// What is meant to stay with one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stickiness {
    /// A conversation: a session that the client names, else its opening.
    #[default]
    Conversation,
    /// A session that the client names, else everything under one API key.
    ApiKey,
    /// Nothing: each request is drawn by itself.
    Nothing,
}

/// Where a key came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The session, conversation or user that the client names, in a header or in the body.
    Session,
    /// The API key.
    ApiKey,
    /// The conversation's opening, together with the API key if there is one.
    Opening,
    /// Chance: nothing was to be sticky, or there was nothing to go by.
    Chance,
}

impl KeySource {
    /// The name in explanations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            KeySource::Session => "session",
            KeySource::ApiKey => "api_key",
            KeySource::Opening => "opening",
            KeySource::Chance => "chance",
        }
    }
}

/// A request, and what its headers say of whom it is from.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The request.
    pub request: &'a InferenceRequest<'a>,
    /// The session, conversation or user, where the client names one.
    pub session: Option<SessionKey>,
    /// The API key, where there is one.
    pub api_key: Option<ApiKey>,
}

impl Caller<'_> {
    /// The key of this request, and where it came from.
    ///
    /// An API key alone does not make a conversation: the clients of a whole company may share one,
    /// and all of them would fall on one target. It only keeps equal openings of different clients
    /// apart, except where [`Stickiness::ApiKey`] says otherwise.
    ///
    /// # Errors
    /// If a text of the opening has an escape that JSON does not know.
    pub fn split_key(
        &self,
        stickiness: Stickiness,
        rng: &mut dyn RngCore,
    ) -> Result<(SplitKey, KeySource), RequestError> {
        let by_api_key = self.api_key.map(|key| (SplitKey(key.0), KeySource::ApiKey));
        let known = match (stickiness, self.session) {
            (Stickiness::Nothing, _) => None,
            (_, Some(session)) => Some((SplitKey(session.0), KeySource::Session)),
            (Stickiness::ApiKey, None) if by_api_key.is_some() => by_api_key,
            (Stickiness::ApiKey | Stickiness::Conversation, None) => self.opening()?.or(by_api_key),
        };
        Ok(known.unwrap_or_else(|| (SplitKey(rng.next_u64()), KeySource::Chance)))
    }

    fn opening(&self) -> Result<Option<(SplitKey, KeySource)>, RequestError> {
        let Some(opening) = self.request.opening()? else {
            return Ok(None);
        };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&opening.0.to_le_bytes());
        bytes[8..].copy_from_slice(&self.api_key.map_or(0, |key| key.0).to_le_bytes());
        let key = SplitKey(xxh3_64_with_seed(&bytes, OPENING_SEED));
        Ok(Some((key, KeySource::Opening)))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::request::Api;

    fn source_and_key(
        body: &str,
        headers: &[(&str, &str)],
        stickiness: Stickiness,
        seed: u64,
    ) -> (KeySource, SplitKey) {
        let request = InferenceRequest::parse(Api::ChatCompletions, body.as_bytes()).unwrap();
        let headers = || {
            headers
                .iter()
                .map(|(name, value)| (*name, value.as_bytes()))
        };
        let caller = Caller {
            request: &request,
            session: SessionKey::from_headers(headers()).or(request.session_hint),
            api_key: ApiKey::from_headers(headers()),
        };
        let mut rng = SmallRng::seed_from_u64(seed);
        let (key, source) = caller.split_key(stickiness, &mut rng).unwrap();
        (source, key)
    }

    const BODY: &str = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
    const OTHER: &str = r#"{"messages":[{"role":"user","content":"ho"}]}"#;
    const NAMED: &str = r#"{"user":"u","messages":[{"role":"user","content":"hi"}]}"#;
    const BEARER: (&str, &str) = ("authorization", "Bearer one");

    #[test]
    fn each_source_where_those_before_it_are_silent() {
        use KeySource::*;
        let session = ("x-session-id", "s");
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Stickiness, KeySource);
        let cases: [Case<'_>; 9] = [
            (NAMED, &[session, BEARER], Stickiness::Conversation, Session),
            (NAMED, &[BEARER], Stickiness::Conversation, Session),
            (NAMED, &[BEARER], Stickiness::ApiKey, Session),
            (BODY, &[BEARER], Stickiness::Conversation, Opening),
            (BODY, &[BEARER], Stickiness::ApiKey, ApiKey),
            (BODY, &[], Stickiness::ApiKey, Opening),
            ("{}", &[BEARER], Stickiness::Conversation, ApiKey),
            ("{}", &[], Stickiness::Conversation, Chance),
            (NAMED, &[session, BEARER], Stickiness::Nothing, Chance),
        ];
        for (body, headers, stickiness, expected) in cases {
            let (source, _) = source_and_key(body, headers, stickiness, 1);
            assert_eq!(source, expected, "{body} {headers:?} {stickiness:?}");
        }
    }

    #[test]
    fn what_is_known_beats_chance_and_chance_is_the_generators() {
        let key = |stickiness, seed| source_and_key(BODY, &[], stickiness, seed).1;
        assert_eq!(
            key(Stickiness::Conversation, 1),
            key(Stickiness::Conversation, 2)
        );
        assert_eq!(key(Stickiness::Nothing, 1), key(Stickiness::Nothing, 1));
        assert_ne!(key(Stickiness::Nothing, 1), key(Stickiness::Nothing, 2));
    }

    #[test]
    fn an_api_key_parts_equal_openings_and_unites_all_only_on_demand() {
        let key = |body, api_key, stickiness| {
            source_and_key(body, &[("authorization", api_key)], stickiness, 1).1
        };
        let by_conversation = |body, api_key| key(body, api_key, Stickiness::Conversation);
        assert_ne!(by_conversation(BODY, "one"), by_conversation(BODY, "two"));
        assert_ne!(by_conversation(BODY, "one"), by_conversation(OTHER, "one"));
        let by_api_key = |body, api_key| key(body, api_key, Stickiness::ApiKey);
        assert_eq!(by_api_key(BODY, "one"), by_api_key(OTHER, "one"));
        assert_ne!(by_api_key(BODY, "one"), by_api_key(BODY, "two"));
    }

    #[test]
    fn api_keys_are_found_in_every_clients_header() {
        let of = |name, value: &'static str| ApiKey::from_headers([(name, value.as_bytes())]);
        assert_eq!(of("authorization", "k"), of("x-api-key", " k "));
        assert_eq!(of("api-key", "k"), of("x-api-key", "k"));
        assert_eq!(of("x-api-key", ""), None);
        assert_eq!(of("cookie", "k"), None);
        let both: [(&str, &[u8]); 2] = [("x-api-key", b"a"), ("authorization", b"b")];
        assert_eq!(ApiKey::from_headers(both), of("authorization", "b"));
    }

    /// Recorded: a change would move conversations when a gateway is updated.
    #[test]
    fn keys_are_the_same_in_every_version() {
        let key =
            |headers: &[(&str, &str)], stickiness| source_and_key(BODY, headers, stickiness, 1).1.0;
        assert_eq!(
            [
                key(&[("x-session-id", "s")], Stickiness::Conversation),
                key(&[BEARER], Stickiness::ApiKey),
                key(&[BEARER], Stickiness::Conversation),
                key(&[], Stickiness::Conversation),
            ],
            [
                15_472_631_990_262_873_619,
                12_908_086_321_258_609_037,
                15_447_668_268_599_420_382,
                433_290_444_206_453_795
            ]
        );
    }
}
