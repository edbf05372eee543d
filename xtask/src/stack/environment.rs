//! What each program is told by its environment. Pure: settings in, variables out.

use std::path::PathBuf;

use crate::secrets::Secrets;

/// Everything the programs need to know.
#[derive(Clone)]
pub struct Settings {
    pub ports: Ports,
    pub databases: Databases,
    pub secrets: Secrets,
    pub upstream: Upstream,
    /// The gateway's spool: a folder of this database's own, since what is in it belongs there.
    pub spool: PathBuf,
    pub site: Site,
    /// What `NEW_ACCOUNT_BILLING` says: whether an account that signs up may call models at once.
    pub new_account_billing: &'static str,
    /// What `OPERATOR_EMAILS` says.
    pub operators: &'static str,
}

/// Loopback ports, one for each listener.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub console: u16,
    pub gateway: u16,
    pub inbox: u16,
    pub smtp: u16,
    pub upstream: u16,
}

/// One URL for each role.
#[derive(Clone)]
pub struct Databases {
    pub owner: String,
    pub console: String,
    pub gateway: String,
}

/// Who answers the gateway.
#[derive(Clone)]
pub enum Upstream {
    /// The one we start, which answers from built-in text.
    Demo,
    Real {
        url: String,
        key: String,
    },
}

impl Upstream {
    pub fn is_demo(&self) -> bool {
        matches!(self, Self::Demo)
    }
}

/// Where cargo-leptos put the browser's files.
#[derive(Clone, Debug)]
pub struct Site {
    pub root: PathBuf,
    /// Which hash belongs to which file's name; absolute, since the server looks beside itself otherwise.
    pub hash_file: PathBuf,
}

type Variables = Vec<(&'static str, String)>;

/// For `latchkey serve`.
pub fn console(settings: &Settings) -> Variables {
    let Settings { ports, secrets, .. } = settings;
    let mut variables = vec![
        ("DATABASE_URL", settings.databases.console.clone()),
        ("LISTEN_ADDR", format!("127.0.0.1:{}", ports.console)),
        ("PUBLIC_URL", format!("http://localhost:{}", ports.console)),
        ("GATEWAY_PUBLIC_URL", format!("http://localhost:{}", ports.gateway)),
        ("SMTP_URL", format!("smtp://127.0.0.1:{}", ports.smtp)),
        ("MAIL_FROM", "Latchkey <latchkey@example.com>".to_owned()),
        ("SECRET_KEY", secrets.secret_key.clone()),
        ("KEY_PEPPER", secrets.key_pepper.clone()),
        ("NEW_ACCOUNT_BILLING", settings.new_account_billing.to_owned()),
        ("OPERATOR_EMAILS", settings.operators.to_owned()),
        // Only this machine reaches the console here, so a proxy in front of it is the developer's own; and each browser
        // spec is a client of its own, with its own sending limits.
        ("TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
    ];
    variables.extend(site(&settings.site, ports.console));
    variables
}

/// What Leptos reads at run time; cargo-leptos would set the same.
fn site(site: &Site, port: u16) -> Variables {
    vec![
        ("LEPTOS_OUTPUT_NAME", "latchkey".to_owned()),
        ("LEPTOS_SITE_ROOT", site.root.display().to_string()),
        ("LEPTOS_SITE_PKG_DIR", "pkg".to_owned()),
        ("LEPTOS_SITE_ADDR", format!("127.0.0.1:{port}")),
        ("LEPTOS_HASH_FILES", "true".to_owned()),
        ("LEPTOS_HASH_FILE_NAME", site.hash_file.display().to_string()),
    ]
}

/// For `latchkey migrate`.
pub fn migrate(settings: &Settings) -> Variables {
    vec![("MIGRATION_DATABASE_URL", settings.databases.owner.clone())]
}

/// For the demo data: written as the owner, with secrets the gateway recognises.
pub fn seed(settings: &Settings) -> Variables {
    vec![
        ("DATABASE_URL", settings.databases.owner.clone()),
        ("KEY_PEPPER", settings.secrets.key_pepper.clone()),
    ]
}

/// For `latchkey-gateway`.
pub fn gateway(settings: &Settings) -> Variables {
    let (url, key) = match &settings.upstream {
        Upstream::Demo => {
            (format!("http://127.0.0.1:{}/v1", settings.ports.upstream), settings.secrets.upstream.clone())
        }
        Upstream::Real { url, key } => (url.clone(), key.clone()),
    };
    vec![
        ("DATABASE_URL", settings.databases.gateway.clone()),
        ("LISTEN_ADDR", format!("127.0.0.1:{}", settings.ports.gateway)),
        ("GATEWAY_NAME", "gateway-1".to_owned()),
        ("KEY_PEPPER", settings.secrets.key_pepper.clone()),
        ("UPSTREAM_URL", url),
        ("UPSTREAM_API_KEY", key),
        ("SPOOL_DIR", settings.spool.display().to_string()),
    ]
}

/// For the browser specs and the clients: where everything is, and a key that works.
pub fn specs(settings: &Settings, demo_key: &str) -> Variables {
    let at = |port: u16| format!("http://localhost:{port}");
    let Ports { console, gateway, inbox, upstream, .. } = settings.ports;
    vec![
        ("CONSOLE_URL", at(console)),
        ("GATEWAY_URL", at(gateway)),
        ("MAIL_URL", at(inbox)),
        ("UPSTREAM_URL", at(upstream)),
        ("OPENAI_BASE_URL", format!("{}/v1", at(gateway))),
        ("OPENAI_API_KEY", demo_key.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn settings(upstream: Upstream) -> Settings {
        let text = str::to_owned;
        Settings {
            ports: Ports { console: 1, gateway: 2, inbox: 3, smtp: 4, upstream: 5 },
            databases: Databases { owner: text("o"), console: text("c"), gateway: text("g") },
            secrets: Secrets {
                secret_key: text("s"),
                key_pepper: text("p"),
                database: text("d"),
                upstream: text("u"),
            },
            upstream,
            spool: "/spool".into(),
            site: Site { root: "/site".into(), hash_file: "/hash.txt".into() },
            new_account_billing: "none",
            operators: "",
        }
    }

    fn value(variables: &Variables, name: &str) -> String {
        variables.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone()).unwrap()
    }

    #[test]
    fn both_programs_share_the_pepper_and_nothing_else() {
        let settings = settings(Upstream::Demo);
        let (console, gateway) = (console(&settings), gateway(&settings));
        assert_eq!(value(&console, "KEY_PEPPER"), value(&gateway, "KEY_PEPPER"));
        assert_eq!(
            (value(&console, "DATABASE_URL"), value(&gateway, "DATABASE_URL")),
            ("c".to_owned(), "g".to_owned())
        );
        assert!(gateway.iter().all(|(name, _)| *name != "SECRET_KEY"));
        assert!(console.iter().all(|(name, _)| *name != "UPSTREAM_API_KEY"));
    }

    #[test]
    fn the_gateway_asks_the_demo_or_the_real_upstream() {
        let demo = gateway(&settings(Upstream::Demo));
        assert_eq!(value(&demo, "UPSTREAM_URL"), "http://127.0.0.1:5/v1");
        let real = Upstream::Real { url: "https://api.example.com/v1".to_owned(), key: "k".to_owned() };
        let real = gateway(&settings(real));
        assert_eq!(value(&real, "UPSTREAM_URL"), "https://api.example.com/v1");
        assert_eq!(value(&real, "UPSTREAM_API_KEY"), "k");
    }

    /// Every string in a source that is written like a variable, but for those of files and of development.
    fn variables_in(source: &str) -> BTreeSet<String> {
        let is_variable =
            |text: &str| text.contains('_') && text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let strings = source.split('"').skip(1).step_by(2).filter(|text| is_variable(text));
        strings
            .filter(|name| !name.ends_with("_FILE") && *name != "LEPTOS_WATCH")
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_example_names_every_setting_of_both_programs() {
        let read = |path: &str| {
            std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
        };
        let mut settings = variables_in(&read("src/server/config/cli.rs"));
        settings.extend(variables_in(&read("crates/gateway/src/config.rs")));
        settings.extend(variables_in(&read("crates/gateway/src/config/edge.rs")));
        settings.extend(variables_in(&read("crates/gateway/src/config/traces.rs")));
        let example = read(".env.example");
        let lines = example.lines().filter(|line| !line.starts_with('#'));
        let listed: BTreeSet<_> = lines.filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect();
        assert_eq!(listed, settings);
    }
}
