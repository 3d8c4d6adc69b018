//! Agent runtimes in the store: read as a whole, written one at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentcore_protocol::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::read::timestamp;
use super::write::millis;
use super::{Store, StoreError};
use crate::registry::{Answered, AwsIdentity, Change, Endpoint, Runtime, Settings, Token, Version};

/// How long an answer is kept for whoever sends its request again.
const TOKENS_KEPT_MILLIS: u64 = 24 * 60 * 60 * 1_000;

impl Store {
    /// Every runtime. Settings that are not on record are those of an agent launched here.
    pub(crate) async fn runtimes(&self) -> Result<Vec<Runtime>, StoreError> {
        self.read(|connection| {
            let mut query = connection.prepare_cached(
                "SELECT id, name, created_at, last_version, tags FROM runtimes ORDER BY id",
            )?;
            let mut rows = query.query([])?;
            let mut runtimes = Vec::new();
            while let Some(row) = rows.next()? {
                let id: String = row.get(0)?;
                runtimes.push(Runtime {
                    name: row.get(1)?,
                    created_at: timestamp(row.get(2)?),
                    last_version: row.get(3)?,
                    tags: from_json(&row.get::<_, String>(4)?)?,
                    versions: versions(connection, &id)?,
                    endpoints: endpoints(connection, &id)?,
                    id,
                });
            }
            Ok(runtimes)
        })
        .await
    }

    /// What was answered to a request with that token.
    pub(crate) async fn answered(
        &self,
        scope: String,
        token: String,
    ) -> Result<Option<Answered>, StoreError> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT request, answer, at FROM client_tokens WHERE scope = ?1 AND token = ?2",
            )?;
            let found = query
                .query_row([&scope, &token], |row| Ok((row.get(0)?, row.get(1)?, timestamp(row.get(2)?))));
            let found: Option<(String, String, Timestamp)> = found.optional()?;
            Ok(found.map(|(request, answer, at)| Answered {
                token: Token { scope, token, request },
                answer,
                at,
            }))
        })
        .await
    }
}

fn versions(connection: &Connection, runtime: &str) -> Result<BTreeMap<u32, Arc<Version>>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT version, settings, definition, created_at FROM runtime_versions WHERE runtime = ?1",
    )?;
    let mut rows = query.query([runtime])?;
    let mut versions = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let settings = match row.get::<_, Option<String>>(1)? {
            Some(json) => from_json(&json)?,
            None => Settings::local(&AwsIdentity::default().role()),
        };
        let definition = from_json(&row.get::<_, String>(2)?)?;
        let created_at = timestamp(row.get(3)?);
        versions.insert(row.get(0)?, Arc::new(Version { settings, definition, created_at }));
    }
    Ok(versions)
}

fn endpoints(connection: &Connection, runtime: &str) -> Result<BTreeMap<String, Endpoint>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT name, id, version, description, tags, created_at, updated_at
         FROM runtime_endpoints WHERE runtime = ?1",
    )?;
    let mut rows = query.query([runtime])?;
    let mut endpoints = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let endpoint = Endpoint {
            id: row.get(1)?,
            version: row.get(2)?,
            description: row.get(3)?,
            tags: from_json(&row.get::<_, String>(4)?)?,
            created_at: timestamp(row.get(5)?),
            updated_at: timestamp(row.get(6)?),
        };
        endpoints.insert(row.get(0)?, endpoint);
    }
    Ok(endpoints)
}

/// Carries out a change, and remembers the answer to its request.
pub(super) fn change(
    connection: &Connection,
    before: Option<&Runtime>,
    change: &Change,
    answered: Option<&Answered>,
) -> Result<(), StoreError> {
    match change {
        Change::Put(runtime) => put(connection, before, runtime)?,
        Change::Delete(id) => {
            connection.prepare_cached("DELETE FROM runtimes WHERE id = ?1")?.execute([id])?;
        }
        Change::Nothing => {}
    }
    answered.map_or(Ok(()), |answered| remember(connection, answered))
}

/// Writes what of a runtime is not as it was `before`.
fn put(connection: &Connection, before: Option<&Runtime>, runtime: &Runtime) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO runtimes (id, name, created_at, last_version, tags) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET last_version = excluded.last_version, tags = excluded.tags",
        )?
        .execute(params![
            runtime.id,
            runtime.name,
            millis(runtime.created_at),
            runtime.last_version,
            to_json(&runtime.tags)?
        ])?;
    put_versions(connection, before, runtime)?;
    put_endpoints(connection, runtime)
}

/// There may be a thousand versions, of which a change adds one: the others are not touched.
fn put_versions(
    connection: &Connection,
    before: Option<&Runtime>,
    runtime: &Runtime,
) -> Result<(), StoreError> {
    let none = BTreeMap::new();
    let known = before.map_or(&none, |before| &before.versions);
    let mut delete =
        connection.prepare_cached("DELETE FROM runtime_versions WHERE runtime = ?1 AND version = ?2")?;
    for number in known.keys().filter(|number| !runtime.versions.contains_key(number)) {
        delete.execute(params![runtime.id, number])?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO runtime_versions (runtime, version, settings, definition, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let is_new = |number, version| !known.get(number).is_some_and(|known| Arc::ptr_eq(known, version));
    for (number, version) in runtime.versions.iter().filter(|(number, version)| is_new(*number, *version)) {
        let Version { settings, definition, created_at } = &**version;
        let (settings, definition) = (to_json(settings)?, to_json(definition)?);
        insert.execute(params![runtime.id, number, settings, definition, millis(*created_at)])?;
    }
    Ok(())
}

/// There are ten at most.
fn put_endpoints(connection: &Connection, runtime: &Runtime) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM runtime_endpoints WHERE runtime = ?1")?.execute([&runtime.id])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO runtime_endpoints (runtime, name, id, version, description, tags, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for (name, endpoint) in &runtime.endpoints {
        insert.execute(params![
            runtime.id,
            name,
            endpoint.id,
            endpoint.version,
            endpoint.description,
            to_json(&endpoint.tags)?,
            millis(endpoint.created_at),
            millis(endpoint.updated_at),
        ])?;
    }
    Ok(())
}

fn remember(connection: &Connection, answered: &Answered) -> Result<(), StoreError> {
    let oldest = answered.at.unix_millis().saturating_sub(TOKENS_KEPT_MILLIS);
    connection
        .prepare_cached("DELETE FROM client_tokens WHERE at < ?1")?
        .execute([millis(Timestamp::from_unix_millis(oldest))])?;
    let Answered { token: Token { scope, token, request }, answer, at } = answered;
    connection
        .prepare_cached(
            "INSERT INTO client_tokens (scope, token, request, answer, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![scope, token, request, answer, millis(*at)])?;
    Ok(())
}

fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Malformed(error.to_string()))
}

fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::Malformed(error.to_string()))
}
