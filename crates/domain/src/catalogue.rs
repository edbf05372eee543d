//! The permission catalogue: what each permission lets a key do, and which of the gateway's routes it guards.

use crate::rule::Permission;

/// A permission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub permission: &'static str,
    /// What it lets a key do.
    pub allows: &'static str,
    /// Method and path template of the routes it guards.
    pub routes: &'static [(&'static str, &'static str)],
}

/// Every permission that is built in. A test of the gateway holds it to the gateway's table of routes.
#[rustfmt::skip]
pub static CATALOGUE: [Entry; 10] = [
    entry(Permission::CHAT,           "Talk to chat models",                           &[("POST", "/v1/chat/completions")]),
    entry(Permission::COMPLETIONS,    "Continue texts with older models",              &[("POST", "/v1/completions")]),
    entry(Permission::RESPONSES,      "Ask for responses, the successor of chat",      &[("POST", "/v1/responses")]),
    entry(Permission::MESSAGES,       "Ask for messages, Anthropic\u{2019}s form of chat", &[("POST", "/v1/messages")]),
    entry(Permission::EMBEDDINGS,     "Make embeddings",                               &[("POST", "/v1/embeddings")]),
    entry(Permission::IMAGES,         "Make images",                                   &[("POST", "/v1/images/generations")]),
    entry(Permission::SPEECH,         "Turn text into speech",                         &[("POST", "/v1/audio/speech")]),
    entry(Permission::TRANSCRIPTIONS, "Turn speech into text",                         &[("POST", "/v1/audio/transcriptions")]),
    entry(Permission::MODERATIONS,    "Have texts judged for harm",                    &[("POST", "/v1/moderations")]),
    entry(Permission::MODELS,         "List the models the key may use",               &[("GET", "/v1/models"), ("GET", "/v1/models/{id}")]),
];

const fn entry(
    permission: &'static str,
    allows: &'static str,
    routes: &'static [(&'static str, &'static str)],
) -> Entry {
    Entry { permission, allows, routes }
}

/// Whether routes of these methods only read: they make nothing and cost nothing.
pub fn is_read_only<'a>(methods: impl IntoIterator<Item = &'a str>) -> bool {
    methods.into_iter().all(|method| method == "GET")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lists_what_keys_can_be_given() {
        let listed: Vec<&str> = CATALOGUE.iter().map(|entry| entry.permission).collect();
        assert_eq!(listed, Permission::CATALOGUE);
    }

    #[test]
    fn listing_models_is_all_that_only_reads() {
        let reads = |entry: &&Entry| is_read_only(entry.routes.iter().map(|route| route.0));
        let listed: Vec<&str> = CATALOGUE.iter().filter(reads).map(|entry| entry.permission).collect();
        assert_eq!(listed, [Permission::MODELS]);
    }
}
