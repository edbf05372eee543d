//! A real file system without room, where this machine lets us have one.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use reqwest::Response;
use serde_json::{Value, json};
use store::PgPool;

use crate::harness::program::Program;
use crate::harness::{TestGateway, eventually};

/// Mounts a small file system over the spool's place, seen by the program alone, and becomes the program.
const IN_A_SMALL_PLACE: &str = "mount -t tmpfs -o size=512k tmpfs \"$1\" && exec \"$2\"";

fn can_mount() -> bool {
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", IN_A_SMALL_PLACE, "sh"]).arg(place.path()).arg("true");
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// `None` for a request that was served.
async fn refusal(response: Response) -> Option<Value> {
    if response.status() == 200 {
        response.bytes().await.unwrap();
        return None;
    }
    assert_eq!(response.status(), 503);
    Some(response.json::<Value>().await.unwrap()["error"]["code"].take())
}

/// Takes all the room there is.
fn fill(path: &PathBuf) {
    let mut file = File::create(path).unwrap();
    for size in [4096, 1] {
        loop {
            match file.write_all(&vec![0; size]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_full_file_system_refuses_work_and_loses_nothing(pool: PgPool) {
    if !can_mount() {
        writeln!(std::io::stderr(), "NOT RUN: a full file system needs root and `unshare --mount`").unwrap();
        return;
    }
    // For its account, key, models and upstream.
    let mut setting = TestGateway::start(pool).await;
    setting.stop().await;
    let place = tempfile::tempdir().unwrap();
    let spool = place.path().join("spool");
    fs::create_dir(&spool).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", IN_A_SMALL_PLACE, "sh"]).arg(&spool);
    command.arg(env!("CARGO_BIN_EXE_latchkey-gateway"));
    let mut program = Program::spawn(command, &setting.owner, &setting.upstream, place.path());
    program.until_ready().await;
    let url = program.url("/v1/chat/completions");
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] });
    let ask = || setting.client.post(&url).bearer_auth(&setting.key.secret).json(&body).send();

    assert_eq!(refusal(ask().await.unwrap()).await, None);
    // The program's own view of its files: nobody else sees what is mounted there.
    let inside = PathBuf::from(format!("/proc/{}/root{}", program.id(), spool.display()));
    let filler = inside.join("filler");
    fill(&filler);
    let mut served = 1;
    let code = loop {
        match refusal(ask().await.unwrap()).await {
            Some(code) => break code,
            // The last page of the segment still had room.
            None => served += 1,
        }
        assert!(served < 100, "the file system is not full");
    };
    assert_eq!(code, "overloaded");
    for _ in 0..20 {
        assert_eq!(refusal(ask().await.unwrap()).await, Some(json!("overloaded")));
    }
    assert_eq!(
        setting.upstream.received().len(),
        served,
        "something was forwarded that nobody could account for"
    );
    assert_eq!(reqwest::get(program.url("/healthz")).await.unwrap().status(), 200);
    assert_eq!(reqwest::get(program.url("/readyz")).await.unwrap().status(), 503);
    setting.ledger(served).await;

    fs::remove_file(&filler).unwrap();
    eventually("requests are taken again", || async {
        refusal(ask().await.unwrap()).await.is_none().then_some(())
    })
    .await;
    setting.ledger(served + 1).await;
    assert_eq!(setting.upstream.received().len(), served + 1);
    let log = program.log();
    let said = |word: &str| log.lines().filter(|line| line.contains(word)).count();
    // Once for each time it gets full: what the database takes meanwhile makes a little room again.
    let (complaints, refusals) = (said("ERROR"), said("refused"));
    assert!(complaints >= 1 && complaints * 3 <= refusals.max(6), "said {complaints} times: {log}");
    assert!(log.contains("requests are taken"), "{log}");
    program.terminate();
    assert!(program.ended().await.success(), "{}", program.log());
}
