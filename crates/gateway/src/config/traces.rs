//! Where spans go: OpenTelemetry's own variables. Without an endpoint there are no traces, and the others mean nothing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use domain::setting;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Uri, uri};

use super::check::{Checker, Noted};

/// What the traces' arguments are. An empty one counts as not given, as OpenTelemetry wants it.
#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "these comments are the text of --help, which knows no Markdown")]
#[expect(clippy::struct_field_names, reason = "the standard's names, which are those of the options, too")]
pub(super) struct TracesArgs {
    /// Collector that gets traces, by OTLP over HTTP: http://127.0.0.1:4318, to which /v1/traces is added. No traces if
    /// empty
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        default_value = "",
        hide_default_value = true,
        value_name = "URL"
    )]
    otel_exporter_otlp_endpoint: String,
    /// The same as a whole URL, in place of OTEL_EXPORTER_OTLP_ENDPOINT
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        default_value = "",
        hide_default_value = true,
        value_name = "URL"
    )]
    otel_exporter_otlp_traces_endpoint: String,
    /// Headers for the collector, percent-encoded: name=value,name=value
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", hide_env_values = true, value_name = "HEADERS")]
    otel_exporter_otlp_headers: Option<String>,
    /// File that holds OTEL_EXPORTER_OTLP_HEADERS
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS_FILE", value_name = "FILE")]
    otel_exporter_otlp_headers_file: Option<OsString>,
    /// Certificates of the authorities the collector's is checked against, as PEM [default: the public ones]
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_CERTIFICATE",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    otel_exporter_otlp_certificate: String,
    /// How the collector is spoken to; there is one way
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_PROTOCOL",
        default_value = "http/protobuf",
        value_name = "PROTOCOL"
    )]
    otel_exporter_otlp_protocol: String,
    /// Milliseconds the collector has for each batch
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value = "10000", value_name = "MILLISECONDS")]
    otel_exporter_otlp_timeout: String,
    /// Which requests are traced: always_on, always_off, traceidratio, or parentbased_ and one of these, which lets
    /// clients that send a traceparent decide
    #[arg(long, env = "OTEL_TRACES_SAMPLER", default_value = "always_on", value_name = "SAMPLER")]
    otel_traces_sampler: String,
    /// The part of the requests that traceidratio traces, from 0 to 1
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "1", value_name = "RATIO")]
    otel_traces_sampler_arg: String,
    /// What traces call this service [default: latchkey-gateway]
    #[arg(
        long,
        env = "OTEL_SERVICE_NAME",
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    otel_service_name: String,
    /// What else traces say about it, percent-encoded: name=value,name=value
    #[arg(
        long,
        env = "OTEL_RESOURCE_ATTRIBUTES",
        default_value = "",
        hide_default_value = true,
        value_name = "ATTRIBUTES"
    )]
    otel_resource_attributes: String,
    /// Switches traces off whatever else is set: true or false
    #[arg(long, env = "OTEL_SDK_DISABLED", default_value = "false", value_name = "BOOL")]
    otel_sdk_disabled: String,
}

/// Where spans go, and which.
#[derive(Clone, Debug)]
pub struct Traces {
    /// The collector's whole URL.
    pub endpoint: Uri,
    /// What it wants beside the spans; shown nowhere.
    pub headers: HeaderMap,
    /// Authorities its certificate is checked against; the public ones if none are named.
    pub authorities: Option<PathBuf>,
    /// What it may take for a batch.
    pub answer_time: Duration,
    /// Which requests are traced.
    pub sampler: Sampler,
    /// What this service is called, where that is said.
    pub service: Option<String>,
    /// What else is said of it.
    pub attributes: Vec<(String, String)>,
}

/// Which requests are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// The part of the requests, from 0 to 1.
    pub ratio: f64,
    /// A request that comes with a trace of its client's is traced if the client says so.
    pub follows_clients: bool,
}

impl Traces {
    /// A collector with the defaults of everything else.
    pub fn to(endpoint: Uri) -> Self {
        Self {
            endpoint,
            headers: HeaderMap::new(),
            authorities: None,
            answer_time: Duration::from_secs(10),
            sampler: Sampler { ratio: 1.0, follows_clients: false },
            service: None,
            attributes: Vec::new(),
        }
    }

    /// `None` where no traces are wanted.
    pub(super) fn read(check: &mut Checker, args: TracesArgs) -> Result<Option<Self>, Noted> {
        if is_disabled(check, &args.otel_sdk_disabled)? {
            return Ok(None);
        }
        let Some(endpoint) = endpoint(check, &args) else { return Ok(None) };
        if !cfg!(feature = "opentelemetry") {
            let what = "is set, but this gateway was built without the feature `opentelemetry`";
            return check.problem("OTEL_EXPORTER_OTLP_ENDPOINT", what).ok_or(Noted);
        }
        let headers = headers(check, args.otel_exporter_otlp_headers, args.otel_exporter_otlp_headers_file);
        let protocol = args.otel_exporter_otlp_protocol.trim();
        if !matches!(protocol, "" | "http/protobuf") {
            let what = format!("'{protocol}' is not http/protobuf, the only one there is");
            let _: Option<()> = check.problem("OTEL_EXPORTER_OTLP_PROTOCOL", &what);
        }
        let time = or(&args.otel_exporter_otlp_timeout, "10000");
        let time = check.at_least("OTEL_EXPORTER_OTLP_TIMEOUT", time, 1);
        let sampler = sampler(check, &args.otel_traces_sampler, &args.otel_traces_sampler_arg);
        let attributes = pairs(&args.otel_resource_attributes).or_else(|| {
            let what = "is not of the form name=value,name=value (percent-encoded)";
            check.problem("OTEL_RESOURCE_ATTRIBUTES", what)
        });
        let authorities = setting::given(&args.otel_exporter_otlp_certificate).map(PathBuf::from);
        let service = setting::given(&args.otel_service_name).map(str::to_owned);
        let traces = (|| {
            Some(Self {
                endpoint: endpoint.ok()?,
                headers: headers.ok()?,
                authorities,
                answer_time: Duration::from_millis(time?),
                sampler: sampler?,
                service,
                attributes: attributes?,
            })
        })();
        traces.map(Some).ok_or(Noted)
    }
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    setting::given(text).unwrap_or(default)
}

fn is_disabled(check: &mut Checker, text: &str) -> Result<bool, Noted> {
    match or(text, "false").to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => {
            let what = format!("'{text}' is neither true nor false");
            check.problem("OTEL_SDK_DISABLED", &what).ok_or(Noted)
        }
    }
}

/// The collector's whole URL; `None` where no collector is named.
fn endpoint(check: &mut Checker, args: &TracesArgs) -> Option<Result<Uri, Noted>> {
    if let Some(whole) = setting::given(&args.otel_exporter_otlp_traces_endpoint) {
        let found = check.base_url("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Some(whole.to_owned()));
        return Some(found.ok_or(Noted));
    }
    let base = setting::given(&args.otel_exporter_otlp_endpoint)?;
    let name = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let whole = check.base_url(name, Some(base.to_owned())).and_then(|base| {
        let mut parts = base.into_parts();
        let path = parts.path_and_query.as_ref().map_or("", uri::PathAndQuery::path);
        parts.path_and_query = format!("{}/v1/traces", path.trim_end_matches('/')).parse().ok();
        Uri::from_parts(parts).ok().or_else(|| check.problem(name, "is not a URL"))
    });
    Some(whole.ok_or(Noted))
}

/// Headers are secrets: they carry the collector's password or key.
fn headers(check: &mut Checker, value: Option<String>, file: Option<OsString>) -> Result<HeaderMap, Noted> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    let is_given = value.as_deref().and_then(setting::given).is_some();
    if !is_given && file.as_ref().is_none_or(|file| file.is_empty()) {
        return Ok(HeaderMap::new());
    }
    let text = check.secret(NAME, value, file).ok_or(Noted)?;
    let header = |(name, value): (String, String)| {
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name).ok()?, value))
    };
    let read = pairs(text.expose()).and_then(|pairs| pairs.into_iter().map(header).collect());
    read.ok_or(Noted).or_else(|Noted| {
        let what = "is not of the form name=value,name=value with names and values that headers can have";
        check.problem(NAME, what).ok_or(Noted)
    })
}

fn sampler(check: &mut Checker, name: &str, ratio: &str) -> Option<Sampler> {
    let name = or(name, "always_on");
    let (root, follows_clients) = match name.strip_prefix("parentbased_") {
        Some(root) => (root, true),
        None => (name, false),
    };
    let ratio = match root {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => {
            let wanted = "a number from 0 to 1";
            let ratio = check.parsed::<f64>("OTEL_TRACES_SAMPLER_ARG", or(ratio, "1"), wanted)?;
            if !(0.0..=1.0).contains(&ratio) {
                let what = format!("{ratio} is not {wanted}");
                return check.problem("OTEL_TRACES_SAMPLER_ARG", &what);
            }
            ratio
        }
        _ => {
            let what = format!(
                "'{name}' is none of always_on, always_off, traceidratio, parentbased_always_on, \
                 parentbased_always_off, parentbased_traceidratio"
            );
            return check.problem("OTEL_TRACES_SAMPLER", &what);
        }
    };
    Some(Sampler { ratio, follows_clients })
}

/// A list in the form of W3C's Baggage: `name=value,name=value`, values percent-encoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let pair = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        let (name, value) = (name.trim(), decoded(value.trim())?);
        (!name.is_empty()).then(|| (name.to_owned(), value))
    };
    entries.map(pair).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
