//! The way from the link, which checks a command, to the thread that carries it
//! out, and back.

use std::sync::Arc;

use tokio::sync::{Notify, oneshot};

use super::command::What;
use super::file::OutgoingFile;
use super::reply::Refusal;
use crate::domain::UtcMillis;
use crate::journal::Note;

/// Where orders go: bounded, and never waited for.
pub type Orders = crossbeam_channel::Sender<Order>;

/// A signed command whose signature and counter are right.
#[derive(Debug)]
pub struct Order {
    /// What is wanted; the refusal if that cannot be understood. Its counter is
    /// spent all the same.
    pub what: Result<What, Refusal>,
    /// Whose it is.
    pub by: String,
    /// What has to be in the journal before anything is done: the counter.
    pub note: Note,
    /// Where the answer goes.
    pub answer: Answering,
}

/// It is done.
#[derive(Debug, Default)]
pub struct Done {
    /// When that ends by itself.
    pub until: Option<UtcMillis>,
    /// What follows the reply.
    pub file: Option<OutgoingFile>,
}

/// The way back; wakes whoever waits for it.
#[derive(Debug)]
pub struct Answering {
    sender: oneshot::Sender<Result<Done, Refusal>>,
    wake: Arc<Notify>,
}

impl Answering {
    /// A way back, and its other end.
    pub fn new(wake: Arc<Notify>) -> (Answering, oneshot::Receiver<Result<Done, Refusal>>) {
        let (sender, receiver) = oneshot::channel();
        (Answering { sender, wake }, receiver)
    }

    /// Tells how it went.
    pub fn send(self, outcome: Result<Done, Refusal>) {
        // Nobody waits any more when the link has ended.
        let _ = self.sender.send(outcome);
        self.wake.notify_one();
    }
}
