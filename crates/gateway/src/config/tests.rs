use clap::Parser;

use super::*;

const PEPPER: &str = "b2f7c1d09e6a48358fd2c4e17ab0936d";

fn good() -> Vec<String> {
    [
        "latchkey-gateway",
        "--database-url=postgres://latchkey_gateway@localhost/latchkey",
        "--upstream-url=https://api.openai.com/v1/",
        "--upstream-api-key=sk-proj-kd83hfue9",
        "--gateway-name=gw-a",
        "--listen-addr=127.0.0.1:0",
        "--key-prefix=sk-lk-",
        "--spool-dir=/var/lib/latchkey-gateway",
        "--spool-max-bytes=1073741824",
        "--path-aliases=/api/openai/v1",
        "--log-format=text",
        "--rust-log=info",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([format!("--key-pepper={PEPPER}")])
    .collect()
}

/// Like [`good`], with some arguments replaced.
fn with(changes: &[(&str, Option<&str>)]) -> Result<Config, Problems> {
    let mut args = good();
    for (name, value) in changes {
        args.retain(|arg| !arg.starts_with(&format!("--{name}=")));
        args.extend(value.map(|value| format!("--{name}={value}")));
    }
    Config::from_args(Args::parse_from(args))
}

fn problems(changes: &[(&str, Option<&str>)]) -> String {
    with(changes).unwrap_err().to_string()
}

#[test]
fn a_good_configuration_is_taken() {
    let config = with(&[]).unwrap();
    assert_eq!(config.upstream.base.to_string(), "https://api.openai.com/v1");
    assert_eq!(config.name, "gw-a");
    assert!(!format!("{config:?}").contains(PEPPER), "a secret shows in Debug");
    assert!(!format!("{config:?}").contains("kd83hfue9"), "a secret shows in Debug");
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = problems(&[
        ("key-pepper", Some("short")),
        ("upstream-url", Some("ftp://example.com")),
        ("upstream-api-key", None),
        ("listen-addr", Some("nowhere")),
        ("key-prefix", Some("UPPER-")),
        ("log-format", Some("xml")),
        ("spool-dir", None),
        ("spool-max-bytes", Some("1 GB")),
        ("path-aliases", Some("/api,/v1/models")),
        ("database-url", Some("mysql://root:hunter2@localhost/x")),
    ]);
    for name in [
        "KEY_PEPPER",
        "UPSTREAM_URL",
        "UPSTREAM_API_KEY",
        "LISTEN_ADDR",
        "KEY_PREFIX",
        "LOG_FORMAT",
        "SPOOL_DIR",
        "SPOOL_MAX_BYTES",
        "PATH_ALIASES",
        "DATABASE_URL",
    ] {
        assert!(text.contains(&format!("  {name}: ")), "{name} is missing in {text}");
    }
    assert!(!text.contains("hunter2") && !text.contains("short"), "{text}");
}

#[test]
fn a_spool_needs_a_folder_and_some_room() {
    let config = with(&[]).unwrap();
    assert_eq!(config.spool.folder.to_str(), Some("/var/lib/latchkey-gateway"));
    assert_eq!(config.spool.max_bytes, 1_073_741_824);
    assert!(problems(&[("spool-dir", Some(""))]).contains("SPOOL_DIR: is missing"));
    assert!(problems(&[("spool-max-bytes", Some("1000"))]).contains("SPOOL_MAX_BYTES: must be at least"));
}

#[test]
fn weak_secrets_are_refused_by_name() {
    for weak in ["", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "please-change-me-please-change-me-please"] {
        assert!(problems(&[("key-pepper", Some(weak))]).contains("KEY_PEPPER"), "{weak}");
    }
    assert!(problems(&[("upstream-api-key", Some("sk-with a space"))]).contains("UPSTREAM_API_KEY"));
}

#[test]
fn a_secret_can_come_from_a_file() {
    let file = std::env::temp_dir().join(format!("latchkey-pepper-{}", std::process::id()));
    std::fs::write(&file, format!("{PEPPER}\n")).unwrap();
    let path = file.to_str().unwrap();
    assert!(with(&[("key-pepper", None), ("key-pepper-file", Some(path))]).is_ok());
    assert!(with(&[("key-pepper", Some("")), ("key-pepper-file", Some(path))]).is_ok(), "empty is not set");
    assert!(with(&[("key-pepper-file", Some(""))]).is_ok(), "empty is not set");
    assert!(problems(&[("key-pepper-file", Some(path))]).contains("keep one"));
    std::fs::remove_file(&file).unwrap();
    assert!(problems(&[("key-pepper", None), ("key-pepper-file", Some(path))]).contains("KEY_PEPPER_FILE"));
}

#[test]
fn pepper_and_prefix_are_read_as_the_console_reads_them() {
    let digest = |config: &Config| config.pepper.digest_of_sha256(&[7; 32]);
    let plain = with(&[]).unwrap();
    let spaced = format!(" {PEPPER}\r\n");
    let config = with(&[("key-pepper", Some(&spaced)), ("key-prefix", Some(" sk-srt- "))]).unwrap();
    assert_eq!(digest(&config), digest(&plain));
    assert_eq!(config.prefix.as_str(), "sk-srt-");
    assert_eq!(with(&[("key-prefix", Some(""))]).unwrap().prefix.as_str(), "sk-lk-");
}

#[test]
fn a_gateway_without_a_name_has_the_host_s() {
    let unnamed = with(&[("gateway-name", None)]).unwrap().name;
    assert!(!unnamed.is_empty());
    assert_eq!(with(&[("gateway-name", Some(" "))]).unwrap().name, unnamed);
}

#[test]
fn tls_is_required_where_strangers_can_listen() {
    let files = [("tls-cert", Some("cert.pem")), ("tls-key", Some("key.pem"))];
    let public = ("listen-addr", Some("0.0.0.0:8080"));
    let proxies = ("trusted-proxies", Some("10.0.0.0/8"));
    let requires = |changes: &[(&str, Option<&str>)]| with(changes).unwrap().edge.requires_tls;
    assert!(!requires(&[]));
    assert!(!requires(&[("listen-addr", Some("[::1]:8080"))]));
    assert!(requires(&files));
    assert!(requires(&[public, proxies]));
    assert!(requires(&[public, files[0], files[1]]));
    assert!(!requires(&[public, ("require-tls", Some("false"))]));
    assert!(requires(&[proxies, ("require-tls", Some("true"))]));
    // On, and no way to meet it: every request would be refused.
    for hopeless in [public, ("require-tls", Some("true"))] {
        assert!(problems(&[hopeless]).contains("  REQUIRE_TLS: is on"), "{hopeless:?}");
    }
}

#[test]
fn the_edge_is_checked_as_a_whole() {
    let text = problems(&[
        ("trusted-proxies", Some("0.0.0.0/0")),
        ("tls-cert", Some("cert.pem")),
        ("require-tls", Some("maybe")),
        ("metrics-addr", Some("here")),
        ("metrics-per-key", Some("1")),
    ]);
    for name in ["TRUSTED_PROXIES", "TLS_KEY", "REQUIRE_TLS", "METRICS_ADDR", "METRICS_PER_KEY"] {
        assert!(text.contains(&format!("  {name}: ")), "{name} is missing in {text}");
    }
    assert!(problems(&[("tls-key", Some("key.pem"))]).contains("  TLS_CERT: "));
    let same = [("listen-addr", Some("127.0.0.1:8080")), ("metrics-addr", Some("127.0.0.1:8080"))];
    assert!(problems(&same).contains("  METRICS_ADDR: "));
    let edge =
        with(&[("metrics-addr", Some("127.0.0.1:9090")), ("metrics-per-key", Some("true"))]).unwrap().edge;
    assert_eq!((edge.metrics.unwrap().port(), edge.metrics_per_key), (9090, true));
    // As a file with nothing filled in has them.
    let empty = ["trusted-proxies", "tls-cert", "tls-key", "require-tls", "metrics-addr", "metrics-per-key"];
    assert_eq!(with(&empty.map(|name| (name, Some("")))).unwrap().edge, Edge::default());
}

#[test]
fn redis_is_there_if_it_is_named() {
    assert!(with(&[]).unwrap().redis.is_none());
    assert!(with(&[("redis-url", Some(" ")), ("redis-url-file", Some(""))]).unwrap().redis.is_none());
    for url in [
        "redis://127.0.0.1",
        "redis://user:hunter2@redis.internal:6380/3",
        "rediss://:hunter2@redis.internal",
    ] {
        let config = with(&[("redis-url", Some(url))]).unwrap();
        assert!(config.redis.is_some() && !format!("{config:?}").contains("hunter2"), "{url}");
    }
    for bad in ["localhost:6379", "http://:hunter2@redis", "redis://:hunter2@", "redis+unix:///run/redis"] {
        let text = problems(&[("redis-url", Some(bad))]);
        assert!(text.contains("  REDIS_URL: is no URL") && !text.contains("hunter2"), "{text}");
    }
    assert!(problems(&[("redis-url-file", Some("/nowhere/redis"))]).contains("REDIS_URL_FILE"));
}

#[test]
fn private_networks_of_upstreams_are_listed() {
    let networks = |text| ("private-upstream-networks", Some(text));
    let config = with(&[networks("10.0.0.0/8, fd12::/16")]).unwrap();
    assert!(config.upstream.private.allow("vllm", "10.1.2.3".parse().unwrap()));
    assert!(problems(&[networks("10.0.0.0/8,home")]).contains("PRIVATE_UPSTREAM_NETWORKS: 'home'"));
}

#[cfg(feature = "opentelemetry")]
mod traces {
    use super::*;

    const ENDPOINT: (&str, Option<&str>) = ("otel-exporter-otlp-endpoint", Some("http://collector:4318"));

    fn traces(changes: &[(&str, Option<&str>)]) -> Traces {
        with(&[&[ENDPOINT], changes].concat()).unwrap().traces.unwrap()
    }

    #[test]
    fn there_are_none_unless_a_collector_is_named() {
        assert!(with(&[]).unwrap().traces.is_none());
        let others = [("otel-traces-sampler", Some("nonsense")), (ENDPOINT.0, Some(" "))];
        assert!(with(&others).unwrap().traces.is_none(), "what is not used is not read");
        assert!(with(&[ENDPOINT, ("otel-sdk-disabled", Some("TRUE"))]).unwrap().traces.is_none());
    }

    #[test]
    fn a_base_gets_the_path_and_a_whole_url_is_taken_as_it_is() {
        for (base, whole) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("https://collector/", "https://collector/v1/traces"),
            ("https://collector/otlp/", "https://collector/otlp/v1/traces"),
        ] {
            assert_eq!(traces(&[(ENDPOINT.0, Some(base))]).endpoint.to_string(), whole);
        }
        let own = traces(&[("otel-exporter-otlp-traces-endpoint", Some("http://other/spans"))]);
        assert_eq!(own.endpoint.to_string(), "http://other/spans");
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let names = ["protocol", "timeout", "certificate", "headers", "headers-file"]
            .map(|name| format!("otel-exporter-otlp-{name}"));
        let others = ["otel-traces-sampler", "otel-traces-sampler-arg", "otel-service-name"];
        let empty: Vec<_> =
            names.iter().map(String::as_str).chain(others).map(|name| (name, Some(""))).collect();
        for traces in [traces(&[]), traces(&empty)] {
            assert_eq!(traces.answer_time, Duration::from_secs(10));
            assert_eq!(traces.sampler, Sampler { ratio: 1.0, follows_clients: false });
            assert!(traces.headers.is_empty() && traces.service.is_none() && traces.attributes.is_empty());
        }
    }

    #[test]
    fn headers_and_attributes_are_decoded_and_headers_not_shown() {
        let traces = traces(&[
            ("otel-exporter-otlp-headers", Some("authorization=Basic%20aHVudGVyMg==, x-team=ops")),
            ("otel-resource-attributes", Some("deployment.environment.name=a%2Cb,")),
        ]);
        assert_eq!(traces.headers["authorization"], "Basic aHVudGVyMg==");
        assert_eq!(traces.headers["x-team"], "ops");
        assert_eq!(traces.attributes, [("deployment.environment.name".to_owned(), "a,b".to_owned())]);
        assert!(!format!("{traces:?}").contains("aHVudGVyMg"), "{traces:?}");
    }

    #[test]
    fn samplers_have_opentelemetry_s_names() {
        let sampler = |name, ratio| {
            traces(&[("otel-traces-sampler", Some(name)), ("otel-traces-sampler-arg", ratio)]).sampler
        };
        let own = |ratio| Sampler { ratio, follows_clients: false };
        let theirs = |ratio| Sampler { ratio, follows_clients: true };
        assert_eq!(sampler("always_on", None), own(1.0));
        assert_eq!(sampler("always_off", None), own(0.0));
        assert_eq!(sampler("traceidratio", Some("0.25")), own(0.25));
        assert_eq!(sampler("traceidratio", None), own(1.0));
        assert_eq!(sampler("parentbased_always_on", None), theirs(1.0));
        assert_eq!(sampler("parentbased_always_off", None), theirs(0.0));
        assert_eq!(sampler("parentbased_traceidratio", Some("0.1")), theirs(0.1));
    }

    #[test]
    fn bad_ones_are_refused_by_name_and_secrets_not_repeated() {
        let refused = |name: &str, value: &str| {
            let option = name.to_ascii_lowercase().replace('_', "-");
            let text = problems(&[ENDPOINT, (&option, Some(value))]);
            assert!(text.contains(&format!("  {name}: ")), "{name}={value}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        };
        for url in
            ["collector:4318", "ftp://collector", "http://user:hunter2@collector", "http://c/?key=hunter2"]
        {
            refused("OTEL_EXPORTER_OTLP_ENDPOINT", url);
            refused("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url);
        }
        for headers in ["hunter2", "a b=hunter2", "x=%0Ahunter2", "x=hunter2%f", "=hunter2"] {
            refused("OTEL_EXPORTER_OTLP_HEADERS", headers);
        }
        refused("OTEL_EXPORTER_OTLP_HEADERS_FILE", "/nowhere/headers");
        refused("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        refused("OTEL_EXPORTER_OTLP_TIMEOUT", "10s");
        refused("OTEL_TRACES_SAMPLER", "jaeger_remote");
        refused("OTEL_RESOURCE_ATTRIBUTES", "team");
        refused("OTEL_SDK_DISABLED", "1");
        for ratio in ["-0.1", "1.5", "NaN", "half"] {
            let ratio = ("otel-traces-sampler-arg", Some(ratio));
            let text = problems(&[ENDPOINT, ("otel-traces-sampler", Some("traceidratio")), ratio]);
            assert!(text.contains("  OTEL_TRACES_SAMPLER_ARG: "), "{text}");
        }
    }
}
