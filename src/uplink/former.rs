//! Commands that wait at the broker under the name that a unit had before its name got
//! a random part: they are fetched once, when it is connected by its new one and
//! listens there, so that none falls between the two.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::Publish;
use rumqttc::v5::{AsyncClient, Event, Incoming};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info};

use super::link::Link;
use super::settings::LinkSettings;
use super::wire::Wire;

/// A broker hands out at once what it has kept.
const QUIET: Duration = Duration::from_secs(3);

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Commands fetched; a broker may have been flooded with them.
const PLACES: usize = 1000;

/// What was fetched and is not done yet.
#[derive(Debug, Default)]
pub(super) struct Former {
    /// There may be something under that name.
    pub due: bool,
    fetched: Arc<Mutex<VecDeque<Publish>>>,
    arrived: Arc<Notify>,
}

impl Former {
    /// Resolves when something was fetched.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn next(&self) -> Option<Publish> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// In the background, once.
    pub fn fetch(&mut self, settings: &LinkSettings) {
        if !std::mem::take(&mut self.due) {
            return;
        }
        let (settings, fetched, arrived) = (settings.clone(), Arc::clone(&self.fetched), Arc::clone(&self.arrived));
        tokio::spawn(async move {
            let n = collect(&settings, |publish| {
                fetched.lock().unwrap_or_else(PoisonError::into_inner).push_back(publish);
                arrived.notify_one();
            });
            match n.await {
                0 => debug!("nothing waited under this unit's former name"),
                n => info!("{n} commands had waited under this unit's former name"),
            }
        });
    }
}

/// Takes over the session of the former name, and ends it.
async fn collect(settings: &LinkSettings, mut each: impl FnMut(Publish)) -> usize {
    let mut options = settings.options(false);
    options.set_client_id(settings.client_base.clone());
    // With the connection the session is over.
    options.set_session_expiry_interval(Some(0));
    let (client, mut wire) = Wire::new(settings, options, 4);
    let end = Instant::now() + PATIENCE;
    let (mut n, mut deadline) = (0, end);
    while n < PLACES {
        match timeout_at(deadline, wire.poll()).await {
            Ok(Ok(Event::Incoming(Incoming::ConnAck(ack)))) if !ack.session_present => break,
            Ok(Ok(Event::Incoming(Incoming::Publish(publish)))) => {
                n += 1;
                each(publish);
            }
            Ok(Ok(Event::Incoming(Incoming::ConnAck(_)))) => {}
            Ok(Ok(_)) => continue,
            // Polling on would log in again.
            Ok(Err(_)) => return n,
            Err(_) => break,
        }
        deadline = end.min(Instant::now() + QUIET);
    }
    leave(&client, &mut wire).await;
    n
}

async fn leave(client: &AsyncClient, wire: &mut Wire) {
    if client.try_disconnect().is_err() {
        return;
    }
    let deadline = Instant::now() + QUIET;
    while let Ok(Ok(event)) = timeout_at(deadline, wire.poll()).await {
        if event == Event::Outgoing(rumqttc::Outgoing::Disconnect) {
            break;
        }
    }
}

impl Link {
    /// Does what was fetched.
    pub(super) fn obey_former(&mut self, client: &AsyncClient) {
        while let Some(publish) = self.former.next() {
            self.command(&publish, client);
        }
    }
}
