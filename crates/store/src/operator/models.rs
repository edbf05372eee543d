//! Models as the operator sets them up: names, providers, prices, caps.

use domain::money::Price;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::OperatorTx;
use crate::models::Way;

/// A model as it is set up, offered or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    /// The name clients use. It never changes: rules and the ledger know the model by it.
    pub id: String,
    /// Everything else.
    pub setup: Setup,
    /// The version of the row; an edit names the one it was based on.
    pub row_version: i64,
}

/// What of a model can be changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Its other names.
    pub aliases: Vec<String>,
    /// What the provider of the gateways' own settings calls it.
    pub upstream_model: String,
    /// The providers it is asked of instead, the first first.
    pub ways: Vec<Way>,
    /// What its tokens cost; `None` is unknown.
    pub price: Option<Price>,
    /// Nano-dollars for a generated picture; `None` is unknown.
    pub price_per_image: Option<i64>,
    /// Nano-dollars for a second of sound, heard or spoken; `None` is unknown.
    pub price_per_second: Option<i64>,
    /// Tokens it reads and writes at most together; `None` is unknown.
    pub context_window: Option<u32>,
    /// Tokens it writes at most.
    pub max_output: u32,
    /// Whether keys may use it.
    pub enabled: bool,
}

/// Why a model was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveModelError {
    /// A model or another name has this name already.
    #[error("the name is taken")]
    NameTaken,
    /// This one of its other names is a model's, or another model's other name.
    #[error("the name {0:?} is taken")]
    AliasTaken(String),
    /// A provider is not there any more.
    #[error("a provider does not exist")]
    NoSuchUpstream,
    /// There is no such model, or it was changed since the version the edit was based on.
    #[error("the model was changed meanwhile")]
    Stale,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// Every model, by name.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Model>> {
    read(db, None).await
}

/// One model.
pub async fn find(db: impl PgExecutor<'_>, id: &str) -> sqlx::Result<Option<Model>> {
    Ok(read(db, Some(id)).await?.pop())
}

/// One statement, so that a model and its providers are of one moment.
async fn read(db: impl PgExecutor<'_>, only: Option<&str>) -> sqlx::Result<Vec<Model>> {
    let rows = sqlx::query!(
        r#"SELECT m.id, m.upstream_model, m.input_price, m.cached_input_price, m.output_price, m.price_per_image,
                  m.price_per_second, m.context_window, m.max_output, m.enabled, m.row_version,
                  ARRAY(SELECT alias FROM model_aliases WHERE model_id = m.id ORDER BY alias) AS "aliases!",
                  ARRAY(SELECT upstream_id FROM model_upstreams WHERE model_id = m.id
                        ORDER BY rank, upstream_id) AS "upstreams!",
                  ARRAY(SELECT upstream_model FROM model_upstreams WHERE model_id = m.id
                        ORDER BY rank, upstream_id) AS "upstream_models!"
           FROM models m WHERE $1::text IS NULL OR m.id = $1 ORDER BY m.id"#,
        only,
    )
    .fetch_all(db)
    .await?;
    let price = |input: Option<i64>, cached_input: Option<i64>, output: Option<i64>| {
        Some(Price { input: input?, cached_input: cached_input?, output: output? })
    };
    let model = rows.into_iter().map(|row| Model {
        id: row.id,
        row_version: row.row_version,
        setup: Setup {
            aliases: row.aliases,
            upstream_model: row.upstream_model,
            ways: std::iter::zip(row.upstreams, row.upstream_models)
                .map(|(upstream, upstream_model)| Way { upstream, upstream_model })
                .collect(),
            price: price(row.input_price, row.cached_input_price, row.output_price),
            price_per_image: row.price_per_image,
            price_per_second: row.price_per_second,
            // The table's CHECKs keep both above zero.
            context_window: row.context_window.and_then(|tokens| u32::try_from(tokens).ok()),
            max_output: u32::try_from(row.max_output).unwrap_or(1),
            enabled: row.enabled,
        },
    });
    Ok(model.collect())
}

/// Adds a model.
pub async fn insert(tx: &mut OperatorTx, id: &str, setup: &Setup) -> Result<(), SaveModelError> {
    let is_alias =
        sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM model_aliases WHERE alias = $1) AS "taken!""#, id)
            .fetch_one(tx.connection())
            .await?;
    if is_alias {
        return Err(SaveModelError::NameTaken);
    }
    let price = setup.price;
    let added = sqlx::query!(
        "INSERT INTO models (id, upstream_model, input_price, cached_input_price, output_price, price_per_image,
                             price_per_second, context_window, max_output, enabled)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING",
        id,
        setup.upstream_model,
        price.map(|price| price.input),
        price.map(|price| price.cached_input),
        price.map(|price| price.output),
        setup.price_per_image,
        setup.price_per_second,
        setup.context_window.map(integer),
        integer(setup.max_output),
        setup.enabled,
    )
    .execute(tx.connection())
    .await?;
    if added.rows_affected() == 0 {
        return Err(SaveModelError::NameTaken);
    }
    set_names_and_ways(tx, id, setup).await
}

/// Changes a model that is still at version `seen`.
pub async fn update(tx: &mut OperatorTx, id: &str, setup: &Setup, seen: i64) -> Result<(), SaveModelError> {
    let price = setup.price;
    let changed = sqlx::query!(
        "UPDATE models SET upstream_model = $2, input_price = $3, cached_input_price = $4, output_price = $5,
                price_per_image = $6, price_per_second = $7, context_window = $8, max_output = $9, enabled = $10
         WHERE id = $1 AND row_version = $11",
        id,
        setup.upstream_model,
        price.map(|price| price.input),
        price.map(|price| price.cached_input),
        price.map(|price| price.output),
        setup.price_per_image,
        setup.price_per_second,
        setup.context_window.map(integer),
        integer(setup.max_output),
        setup.enabled,
        seen,
    )
    .execute(tx.connection())
    .await?;
    if changed.rows_affected() == 0 {
        return Err(SaveModelError::Stale);
    }
    set_names_and_ways(tx, id, setup).await
}

/// A number of tokens as the column holds it; the form admits none that is larger.
fn integer(tokens: u32) -> i32 {
    i32::try_from(tokens).unwrap_or(i32::MAX)
}

async fn set_names_and_ways(tx: &mut OperatorTx, id: &str, setup: &Setup) -> Result<(), SaveModelError> {
    let taken = sqlx::query_scalar!(
        r#"SELECT name AS "name!" FROM unnest($2::text[]) AS name
           WHERE EXISTS (SELECT FROM models WHERE id = name)
              OR EXISTS (SELECT FROM model_aliases WHERE alias = name AND model_id <> $1)
           LIMIT 1"#,
        id,
        &setup.aliases,
    )
    .fetch_optional(tx.connection())
    .await?;
    if let Some(name) = taken {
        return Err(SaveModelError::AliasTaken(name));
    }
    sqlx::query!(
        "DELETE FROM model_aliases WHERE model_id = $1 AND alias <> ALL ($2::text[])",
        id,
        &setup.aliases
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "INSERT INTO model_aliases (alias, model_id) SELECT name, $1 FROM unnest($2::text[]) AS name
         ON CONFLICT (alias) DO NOTHING",
        id,
        &setup.aliases,
    )
    .execute(tx.connection())
    .await?;
    set_ways(tx, id, &setup.ways).await
}

async fn set_ways(tx: &mut OperatorTx, id: &str, ways: &[Way]) -> Result<(), SaveModelError> {
    let upstreams: Vec<Uuid> = ways.iter().map(|way| way.upstream).collect();
    let names: Vec<String> = ways.iter().map(|way| way.upstream_model.clone()).collect();
    sqlx::query!(
        "DELETE FROM model_upstreams WHERE model_id = $1 AND upstream_id <> ALL ($2::uuid[])",
        id,
        &upstreams
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!(
        "INSERT INTO model_upstreams AS way (model_id, upstream_id, upstream_model, rank)
         SELECT $1, upstream, name, place::smallint
         FROM unnest($2::uuid[], $3::text[]) WITH ORDINALITY AS listed (upstream, name, place)
         ON CONFLICT (model_id, upstream_id) DO UPDATE
             SET upstream_model = excluded.upstream_model, rank = excluded.rank
             WHERE (way.upstream_model, way.rank) <> (excluded.upstream_model, excluded.rank)",
        id,
        &upstreams,
        &names,
    )
    .execute(tx.connection())
    .await
    .map(|_| ())
    .map_err(|error| match &error {
        sqlx::Error::Database(db) if db.constraint() == Some("model_upstreams_upstream_id_fkey") => {
            SaveModelError::NoSuchUpstream
        }
        _ => error.into(),
    })
}
