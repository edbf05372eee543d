//! Every provider there is, and which of them a model is to be asked of.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Uri;
use store::models::Model;
use store::upstreams;
use uuid::Uuid;

use super::{HttpClient, SetupError, Upstream, http_client};
use crate::config::{self, Limits, Secret, SecretCalled};

/// All providers. Replaced as a whole whenever the operator changes one.
#[derive(Debug)]
pub struct Upstreams {
    client: HttpClient,
    secrets: SecretCalled,
    /// The one of the gateway's own settings.
    own: Arc<Upstream>,
    listed: RwLock<HashMap<Uuid, Listed>>,
    /// Those that cannot be used as they are set up.
    unusable: RwLock<Vec<Uuid>>,
}

#[derive(Clone, Debug)]
struct Listed {
    row: upstreams::Upstream,
    key: Secret,
    upstream: Arc<Upstream>,
}

/// A provider a request may go to.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The provider.
    pub upstream: Arc<Upstream>,
    /// What it calls the model.
    pub model: String,
}

impl Upstreams {
    /// The provider of the settings alone. Nothing is connected yet.
    pub fn new(
        settings: &config::Upstream,
        secrets: SecretCalled,
        limits: &Limits,
    ) -> Result<Self, SetupError> {
        let config::Upstream { base, key, private } = settings;
        let client = http_client(limits.connect, private.clone())?;
        let own = Upstream::new("UPSTREAM_URL", base, key.clone(), client.clone(), limits.answer)?;
        Ok(Self {
            client,
            secrets,
            own: Arc::new(own),
            listed: RwLock::default(),
            unusable: RwLock::default(),
        })
    }

    /// Goes by these from now on. One that cannot be used is left out, and the log says why; what runs goes on.
    pub fn replace(&self, rows: &[upstreams::Upstream]) {
        // Requests go on by the old list until the new one is whole.
        let mut before = self.listed.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut listed, mut unusable) = (HashMap::with_capacity(rows.len()), Vec::new());
        for row in rows {
            match self.list(row, before.remove(&row.id)) {
                Ok(found) => _ = listed.insert(row.id, found),
                Err(reason) => {
                    tracing::error!(upstream = %row.name, reason, "an upstream cannot be used");
                    unusable.push(row.id);
                }
            }
        }
        *self.unusable.write().unwrap_or_else(PoisonError::into_inner) = unusable;
        *self.listed.write().unwrap_or_else(PoisonError::into_inner) = listed;
    }

    /// The providers of a model: those that answer first, then, in case there is no other, those that rest.
    pub fn of(&self, model: &Model) -> Vec<Candidate> {
        if model.ways.is_empty() {
            return vec![Candidate { upstream: self.own.clone(), model: model.upstream_model.clone() }];
        }
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        let found = model.ways.iter().filter_map(|way| {
            let upstream = listed.get(&way.upstream)?.upstream.clone();
            Some(Candidate { upstream, model: way.upstream_model.clone() })
        });
        let mut candidates: Vec<Candidate> = found.collect();
        candidates.sort_by_key(|candidate| candidate.upstream.health.is_resting());
        candidates
    }

    /// The provider of this id, if it is in use here.
    pub fn find(&self, id: Uuid) -> Option<Arc<Upstream>> {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        listed.get(&id).map(|listed| listed.upstream.clone())
    }

    /// Those that rest because they failed, for whoever set them up to see.
    pub fn resting(&self) -> Vec<Uuid> {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        let resting = listed.iter().filter(|(_, listed)| listed.upstream.health.is_resting());
        resting.map(|(id, _)| *id).collect()
    }

    /// Those that cannot be used as they are set up, such as one whose secret is not here.
    pub fn unusable(&self) -> Vec<Uuid> {
        self.unusable.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn list(&self, row: &upstreams::Upstream, before: Option<Listed>) -> Result<Listed, String> {
        let key = (self.secrets)(&row.secret_name)?;
        if let Some(before) = before.filter(|before| before.row == *row && before.key == key) {
            return Ok(before);
        }
        let base: Uri = row.base_url.parse().map_err(|error| format!("{}: {error}", row.base_url))?;
        let time = Duration::from_secs(row.answer_seconds.into());
        let upstream = Upstream::new(&row.name, &base, key.clone(), self.client.clone(), time);
        let upstream = Arc::new(upstream.map_err(|error| error.to_string())?);
        Ok(Listed { row: row.clone(), key, upstream })
    }
}
