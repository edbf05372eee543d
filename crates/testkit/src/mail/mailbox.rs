//! The messages the sink holds and who waits for them. Knows neither SMTP nor HTTP.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Behaviour, Mail};

/// More than this and the oldest go: a development session may run for days.
const KEPT: usize = 500;

/// No message came in time.
#[derive(Debug)]
pub struct NoMail {
    to: String,
    waited: Duration,
    others: Vec<String>,
}

impl std::fmt::Display for NoMail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { to, waited, others } = self;
        write!(f, "no mail to {to} within {} s; mail came for {others:?}", waited.as_secs())
    }
}

impl std::error::Error for NoMail {}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    // Oldest first.
    held: VecDeque<Held>,
    behaviour: Behaviour,
    // In lower case.
    deferred: HashSet<String>,
}

#[derive(Debug)]
struct Held {
    mail: Mail,
    handed_out: bool,
}

impl Mailbox {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can leave the list half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, mut mail: Mail) -> u64 {
        let mut state = self.state();
        state.next_id += 1;
        let id = state.next_id;
        mail.id = id;
        state.held.push_back(Held { mail, handed_out: false });
        if state.held.len() > KEPT {
            state.held.pop_front();
        }
        drop(state);
        self.arrived.notify_waiters();
        id
    }

    /// Newest first; only those to `to`, if given.
    pub(super) fn messages(&self, to: Option<&str>) -> Vec<Mail> {
        let state = self.state();
        let wanted = state.held.iter().rev().map(|held| &held.mail);
        wanted.filter(|mail| to.is_none_or(|to| mail.is_to(to))).cloned().collect()
    }

    pub(super) fn find(&self, id: u64) -> Option<Mail> {
        self.state().held.iter().find(|held| held.mail.id == id).map(|held| held.mail.clone())
    }

    pub(super) async fn next_for(&self, to: &str, patience: Duration) -> Result<Mail, NoMail> {
        let search = async {
            loop {
                // Made before the look, so that a message between look and wait wakes us.
                let arrived = self.arrived.notified();
                if let Some(mail) = self.hand_out(to) {
                    return mail;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(patience, search).await.map_err(|_| self.no_mail(to, patience))
    }

    fn hand_out(&self, to: &str) -> Option<Mail> {
        let mut state = self.state();
        let held = state.held.iter_mut().find(|held| !held.handed_out && held.mail.is_to(to))?;
        held.handed_out = true;
        Some(held.mail.clone())
    }

    fn no_mail(&self, to: &str, waited: Duration) -> NoMail {
        let others = self.messages(None).into_iter().flat_map(|mail| mail.to).collect();
        NoMail { to: to.to_owned(), waited, others }
    }

    pub(super) fn clear(&self) {
        self.state().held.clear();
    }

    pub(super) fn behaviour(&self) -> Behaviour {
        self.state().behaviour
    }

    pub(super) fn defer(&self, to: &str) {
        self.state().deferred.insert(to.to_ascii_lowercase());
    }

    pub(super) fn is_deferred(&self, to: &str) -> bool {
        self.state().deferred.contains(&to.to_ascii_lowercase())
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }
}
