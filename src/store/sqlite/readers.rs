//! The connections that read: a few, opened when they are needed, used on the runtime's blocking threads.
//! Each read sees one state of the index from beginning to end.

use super::schema;
use crate::store::StoreError;
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

pub struct Readers {
    index: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub fn new(index: PathBuf, most: usize) -> Self {
        Self {
            index,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(most)),
        }
    }

    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = self.permits.clone().acquire_owned().await;
        let readers = self.clone();
        // If the caller is dropped, this still runs to its end and gives connection and permit back.
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let idle = readers.idle().pop();
            let connection = match idle {
                Some(connection) => connection,
                None => schema::open_reader(&readers.index)?,
            };
            let transaction = connection.unchecked_transaction()?;
            let result = work(&connection);
            transaction.finish()?;
            readers.idle().push(connection);
            result
        });
        task.await
            .map_err(|error| StoreError::Failed(format!("a read was broken off: {error}")))?
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest state, from now on, for the rest of what is read.
pub fn renew(connection: &Connection) -> Result<(), StoreError> {
    Ok(connection.execute_batch("COMMIT; BEGIN")?)
}
