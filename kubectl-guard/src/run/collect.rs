//! Writes the table of metrics: a look at all selected pods each interval.

use std::time::Duration;

use super::{Part, Shared};
use crate::collect::file::TableFile;
use crate::collect::own::{Own, OwnMetric};
use crate::collect::{self, Look, now};
use crate::config::Config;
use crate::connect::{Connection, Environment};
use crate::error::Error;
use crate::flags::Selection;
use crate::prometheus::{Endpoint, Prometheus};

/// Collects until it is let go.
///
/// # Errors
/// If metrics may not be read at the start, or the table cannot be written. A look that fails later is made again.
pub async fn collect(config: &Config, connection: &Connection, shared: &Shared<'_>) -> Result<(), Error> {
    let settings = &config.dataset_generator;
    let selection = Selection { all_namespaces: settings.all_namespaces, ..Selection::default() };
    let own = own(config, connection)?;
    let own = own.as_ref();
    let warn = |text: &str| shared.log.warn(Part::Collect, text);
    let (mut collector, first) = collect::begin(connection, &selection, None, false, own, now(), warn).await?;
    let columns = own.map(Own::columns).unwrap_or_default();
    let mut table = TableFile::open(&settings.output_file, &columns)?;
    write(&mut table, &first, shared)?;
    let mut looks = tokio::time::interval(settings.interval.max(Duration::from_secs(1)));
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    looks.tick().await;
    loop {
        looks.tick().await;
        match collector.look(now()).await {
            Ok(look) => write(&mut table, &look, shared)?,
            // What was read once may be read again: a cluster is away now and then.
            Err(error) => shared.log.warn(Part::Collect, &error.to_string()),
        }
    }
}

/// The metrics of the user's own, if the configuration has queries for any.
fn own(config: &Config, connection: &Connection) -> Result<Option<Own>, Error> {
    let queries = &config.prometheus.queries;
    if queries.is_empty() {
        return Ok(None);
    }
    let metric = |(column, expression): (&String, &String)| {
        OwnMetric::new(column, Some(expression)).map_err(|problem| Error::Usage {
            message: format!("prometheus.queries: {problem}"),
            hint: "each is a name and an expression with one series for each namespace and pod".to_owned(),
        })
    };
    let metrics = queries.iter().map(metric).collect::<Result<_, _>>()?;
    let endpoint = Endpoint::at(&config.dataset_generator.prometheus_url)?;
    let prometheus = Prometheus::open(&endpoint, connection, &Environment::of_process())?;
    Ok(Some(Own::new(prometheus, Vec::new(), metrics)))
}

fn write(table: &mut TableFile, look: &Look, shared: &Shared<'_>) -> Result<(), Error> {
    look.warnings.iter().for_each(|warning| shared.log.warn(Part::Collect, warning));
    if let Some(said) = table.write(&look.rows)? {
        shared.log.info(Part::Collect, &said);
    }
    let done = format!("{} rows in {}", look.rows.len(), table.path().display());
    shared.log.debug(Part::Collect, &done);
    shared.state.did(Part::Collect, &done);
    Ok(())
}
