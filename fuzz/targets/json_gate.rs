//! The gate for request bodies: what it lets through is JSON to others too, with the same fields, and what goes upstream
//! reads as what was checked.
#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes;
use gateway::body::scan::Object;
use gateway::prompt::{Clamp, Prompt, content_type};
use gateway::router::{BodyDialect, Forwarded, ROUTES, Served};
use http::HeaderValue;
use http_body_util::BodyExt;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use tokio::runtime::{Builder, Runtime};

/// Names another model than any client would.
const UPSTREAM_MODEL: &str = "vendor/\"other\" model";
const CAP: u32 = 17;

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    scan(body);
    let routes: Vec<Forwarded> = ROUTES
        .iter()
        .filter_map(|route| match route.served {
            Served::Upstream(forwarded) => Some(forwarded),
            Served::Here(_) => None,
        })
        .collect();
    let route = routes[usize::from(*choice) % routes.len()];
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    splice(&runtime, route, Bytes::copy_from_slice(body));
});

/// Another reader, of whom nothing is known but that he reads JSON, sees the same fields.
fn scan(body: &[u8]) {
    let Ok(object) = Object::read(body) else { return };
    let theirs: BTreeMap<String, &RawValue> =
        serde_json::from_slice(body).expect("what is let through is JSON");
    assert_eq!(theirs.len(), object.fields().len());
    for field in object.fields() {
        assert_eq!(theirs[field.name.as_ref()].get(), field.value);
        assert_eq!(&body[field.place.clone()], field.value.as_bytes());
    }
}

fn splice(runtime: &Runtime, route: Forwarded, body: Bytes) {
    let Some(mut prompt) = read(runtime, route, &body) else { return };
    let model = prompt.model().to_owned();
    if !prompt.usage_is_injected() {
        assert_eq!(sent(runtime, &prompt, &model), body, "without edits it goes on as it came");
    }
    let asked = prompt.asked();
    let aliased = sent(runtime, &prompt, UPSTREAM_MODEL);
    let again = read(runtime, route, &aliased).expect("what goes upstream passes the same gate");
    assert_eq!((again.model(), again.asked()), (UPSTREAM_MODEL, asked));
    // A model called "data:" counts as a file, wherever it stands.
    if !model.starts_with("data:") {
        assert_eq!((again.unbounded(), again.embedded()), (prompt.unbounded(), prompt.embedded()));
    }
    assert!(!again.usage_is_injected(), "asked for once");
    prompt.clamp(Clamp { output_cap: Some(CAP), n: Some(1) });
    let clamped = read(runtime, route, &sent(runtime, &prompt, &model)).expect("a clamp breaks nothing");
    assert_eq!(clamped.model(), model);
    let cap = clamped.asked().output_cap;
    if prompt.can_be_clamped() {
        assert!(cap.is_some_and(|cap| cap <= CAP && asked.output_cap.is_none_or(|asked| cap <= asked)));
    }
    assert!(clamped.asked().answers <= asked.answers);
}

fn read(runtime: &Runtime, route: Forwarded, body: &Bytes) -> Option<Prompt> {
    let header = match route.body {
        BodyDialect::Transcriptions => HeaderValue::from_static("multipart/form-data; boundary=b"),
        other => HeaderValue::from_static(content_type(other)),
    };
    runtime.block_on(Prompt::read(body.clone(), route, Some(&header))).ok()
}

fn sent(runtime: &Runtime, prompt: &Prompt, model: &str) -> Bytes {
    let Ok(collected) = runtime.block_on(prompt.for_upstream(model).collect());
    collected.to_bytes()
}
