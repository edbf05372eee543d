//! `cargo xtask dev`: the whole product on this machine, from nothing, with demo data.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    compile::{Front, Programs, Workshop},
    config::Config,
    interrupt,
    place::{Place, write_secret},
    port,
    postgres::{CONSOLE_ROLE, GATEWAY_ROLE, Kind, Postgres},
    process,
    report::{Report, duration},
    secrets::Secrets,
    stack::{
        Output, Stack,
        environment::{self, Databases, Ports, Settings, Upstream},
    },
};

const DATABASE: &str = "latchkey";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A real provider instead of the demo upstream.
    pub upstream: Option<String>,
    /// Rebuild and restart the console when a source changes.
    pub watch: bool,
}

/// Runs until Ctrl-C, or until a part of it dies.
pub fn run(options: &Options, config: &Config, place: &Place, report: Report) -> Result<()> {
    interrupt::watch()?;
    let began = Instant::now();
    let _lock = place.lock("dev")?;
    let upstream = upstream(options, config)?;
    let workshop = Workshop::open(config, place, report)?;
    let database = Database::open(config, place, report)?;
    let ended = serve(options, upstream, &workshop, &database, place, report, began);
    let stopped = database.close();
    if interrupt::seen() {
        report.say(if stopped.is_ok() { "everything is stopped" } else { "stopped, but for the database" });
        return stopped;
    }
    ended.and(stopped)
}

fn serve(
    options: &Options,
    upstream: Upstream,
    workshop: &Workshop,
    database: &Database,
    place: &Place,
    report: Report,
    began: Instant,
) -> Result<()> {
    let site = report.during("building the browser part: a first time takes about 3 min", || {
        workshop.front(Front::Debug)
    })?;
    let programs =
        report.during("building the programs: a first time takes about 4 min", || workshop.programs())?;
    let settings = Settings {
        ports: choose_ports(report)?,
        databases: database.urls(),
        secrets: Secrets::load_or_make(place)?,
        upstream,
        spool: place.private.join("spool"),
        site,
        // So that a key made by whoever signs in works at once.
        new_account_billing: "invoiced",
        operators: "demo@example.com",
    };
    report.during("migrating and seeding the database", || prepare(&programs, &settings, database, place))?;
    let watcher = options.watch.then(|| workshop.watcher());
    let mut stack = Stack::start(&settings, &programs, watcher, &Output::Terminal(report), report)?;
    welcome(&settings, place, report, began.elapsed());
    let ended = stack.watch();
    report.say("");
    stack.stop(report);
    ended
}

/// `latchkey migrate`, the roles' passwords, the demo account. The demo key's secret is told once and kept.
fn prepare(programs: &Programs, settings: &Settings, database: &Database, place: &Place) -> Result<()> {
    migrate(programs, settings)?;
    database.let_programs_in()?;
    if let Some(secret) = seed(programs, settings)? {
        write_secret(&place.private.join("demo-key"), &secret)?;
    }
    Ok(())
}

/// Brings the schema up to date.
pub fn migrate(programs: &Programs, settings: &Settings) -> Result<()> {
    let mut migrate = Command::new(&programs.console);
    migrate.arg("migrate").envs(environment::migrate(settings)).stdin(Stdio::null());
    process::output(&mut migrate).map(drop).context("the migrations failed")
}

/// Makes the demo account; its key's secret, if the key is new.
pub fn seed(programs: &Programs, settings: &Settings) -> Result<Option<String>> {
    let told = process::output(Command::new(&programs.seed).envs(environment::seed(settings)))?;
    let last = told.lines().last().unwrap_or_default();
    let told: serde_json::Value =
        serde_json::from_str(last).with_context(|| format!("seed_demo said {last:?}"))?;
    Ok(told.get("secret").and_then(|secret| secret.as_str()).map(str::to_owned))
}

fn upstream(options: &Options, config: &Config) -> Result<Upstream> {
    let Some(url) = &options.upstream else { return Ok(Upstream::Demo) };
    if !url.starts_with("https://") && !url.starts_with("http://") {
        bail!("--upstream takes an address such as https://api.example.com/v1, not {url:?}");
    }
    let key = config.upstream_api_key.clone();
    let key =
        key.context("--upstream needs the provider's key in the environment variable UPSTREAM_API_KEY")?;
    Ok(Upstream::Real { url: url.clone(), key })
}

/// The usual ports, or the next ones if somebody listens there.
fn choose_ports(report: Report) -> Result<Ports> {
    let mut taken = Vec::new();
    let mut choose = |what: &str, wanted: u16| -> Result<u16> {
        let port = port::free_from(wanted, &taken)?;
        taken.push(port);
        if port != wanted {
            report.warn(format_args!("port {wanted} is taken, so the {what} is on {port}"));
        }
        Ok(port)
    };
    Ok(Ports {
        console: choose("console", 3000)?,
        gateway: choose("gateway", 8080)?,
        inbox: choose("inbox", 8025)?,
        smtp: choose("mail sink", 1025)?,
        upstream: choose("demo upstream", 9000)?,
    })
}

fn welcome(settings: &Settings, place: &Place, report: Report, took: Duration) {
    let Ports { console, gateway, inbox, .. } = settings.ports;
    let upstream = match &settings.upstream {
        Upstream::Demo => "a built-in demo model; --upstream URL uses a real one".to_owned(),
        Upstream::Real { url, .. } => url.clone(),
    };
    report.heading(format_args!("Latchkey is ready ({})", duration(took)));
    report.say(format_args!(
        "\n  Console    http://localhost:{console}\n  Gateway    http://localhost:{gateway}/v1\n  \
         Inbox      http://localhost:{inbox}\n  Upstream   {upstream}\n\n  \
         Sign in as demo@example.com; the code arrives at http://localhost:{inbox}\n"
    ));
    let key = place.private.join("demo-key");
    if key.exists() {
        let shown = if std::env::current_dir().is_ok_and(|here| here == place.root) {
            ".latchkey/demo-key".into()
        } else {
            key
        };
        report.say(format_args!(
            "  Call a model:\n\n  curl http://localhost:{gateway}/v1/chat/completions \\\n    \
             -H \"Authorization: Bearer $(cat {})\" \\\n    -H 'Content-Type: application/json' \\\n    \
             -d '{{\"model\":\"gpt-4o-mini\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n",
            shown.display()
        ));
    } else {
        report.say(
            "  The demo key's secret is not here (it is told once): make a key in the console,\n  \
             or delete .latchkey (and /var/lib/latchkey, if there is one) to begin anew.\n",
        );
    }
    report.say("  Ctrl-C stops everything.\n");
}

/// The private cluster, or the caller's own database.
enum Database {
    Private(Postgres),
    Own(Databases),
}

impl Database {
    fn open(config: &Config, place: &Place, report: Report) -> Result<Self> {
        if let Some(own) = &config.database {
            report.good("using the database of DATABASE_URL");
            let (owner, console, gateway) = (own.owner.clone(), own.console.clone(), own.gateway.clone());
            return Ok(Self::Own(Databases { owner, console, gateway }));
        }
        let postgres = Postgres::start(Kind::Development, config, place, report)?;
        if postgres.ensure_database(DATABASE)? {
            // A key of an earlier database opens nothing in this one.
            forget(&place.private.join("demo-key"))?;
        }
        Ok(Self::Private(postgres))
    }

    fn urls(&self) -> Databases {
        match self {
            Self::Own(urls) => urls.clone(),
            Self::Private(postgres) => urls(postgres, DATABASE),
        }
    }

    fn let_programs_in(&self) -> Result<()> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Private(postgres) => postgres.let_programs_in(),
        }
    }

    fn close(&self) -> Result<()> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Private(postgres) => postgres.stop(),
        }
    }
}

/// Each role's URL of one database in a cluster of ours.
pub fn urls(postgres: &Postgres, database: &str) -> Databases {
    Databases {
        owner: postgres.superuser_url(database),
        console: postgres.url(CONSOLE_ROLE, database),
        gateway: postgres.url(GATEWAY_ROLE, database),
    }
}

fn forget(path: &std::path::Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
