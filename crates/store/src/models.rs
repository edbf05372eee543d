//! What the gateway offers, and at which price.

use domain::money::Price;
use domain::tariff::Tariff;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// A model on offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    /// The name clients use.
    pub id: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// The name the provider of the gateway's own settings uses.
    pub upstream_model: String,
    /// The providers it is to be asked of instead, the first first.
    pub ways: Vec<Way>,
    /// What its tokens cost; `None` is unknown, which a cost limit cannot bound.
    pub price: Option<Price>,
    /// Nano-dollars for a generated picture; `None` is unknown.
    pub price_per_image: Option<i64>,
    /// Nano-dollars for a second of sound, heard or spoken; `None` is unknown.
    pub price_per_second: Option<i64>,
    /// Tokens it reads and writes at most together; `None` is unknown.
    pub context_window: Option<u32>,
    /// Tokens it writes at most.
    pub max_output: u32,
    /// Since when it is offered.
    pub created_at: OffsetDateTime,
}

impl Model {
    /// Everything it is charged by.
    pub fn tariff(&self) -> Tariff {
        Tariff { tokens: self.price, image: self.price_per_image, second: self.price_per_second }
    }
}

/// A provider of a model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Way {
    /// The provider.
    pub upstream: Uuid,
    /// What it calls the model.
    pub upstream_model: String,
}

/// The cheapest enabled model that writes text, for examples to copy: a model whose output costs nothing is one that
/// has no text to give (embeddings).
pub async fn find_example(db: impl PgExecutor<'_>) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "SELECT id FROM models WHERE enabled AND output_price > 0 ORDER BY output_price, id LIMIT 1"
    )
    .fetch_optional(db)
    .await
}

/// Every enabled model, by name. One statement, so that a model and its providers are of one moment.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Model>> {
    let rows = sqlx::query!(
        r#"SELECT m.id, m.upstream_model, m.input_price, m.cached_input_price, m.output_price, m.price_per_image,
                  m.price_per_second, m.context_window, m.max_output, m.created_at,
                  ARRAY(SELECT alias FROM model_aliases WHERE model_id = m.id ORDER BY alias) AS "aliases!",
                  ARRAY(SELECT upstream_id FROM model_upstreams WHERE model_id = m.id
                        ORDER BY rank, upstream_id) AS "upstreams!",
                  ARRAY(SELECT upstream_model FROM model_upstreams WHERE model_id = m.id
                        ORDER BY rank, upstream_id) AS "upstream_models!"
           FROM models m WHERE m.enabled ORDER BY m.id"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Model {
            id: row.id,
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
            created_at: row.created_at,
        })
        .collect())
}

fn price(input: Option<i64>, cached_input: Option<i64>, output: Option<i64>) -> Option<Price> {
    Some(Price { input: input?, cached_input: cached_input?, output: output? })
}

/// Offers a model, or changes the one of that name. For the schema's owner.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    id: &str,
    upstream_model: &str,
    price: Price,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO models (id, upstream_model, input_price, cached_input_price, output_price)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET upstream_model = excluded.upstream_model, enabled = true,
             input_price = excluded.input_price, cached_input_price = excluded.cached_input_price,
             output_price = excluded.output_price",
        id,
        upstream_model,
        price.input,
        price.cached_input,
        price.output,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Sets what a model charges for a picture and for a second of sound, in nano-dollars; `None` makes it unknown. Does
/// nothing where there is no such model. For the schema's owner.
pub async fn set_unit_prices(
    db: impl PgExecutor<'_>,
    id: &str,
    per_image: Option<i64>,
    per_second: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE models SET price_per_image = $2, price_per_second = $3 WHERE id = $1",
        id,
        per_image,
        per_second,
    )
    .execute(db)
    .await
    .map(|_| ())
}
