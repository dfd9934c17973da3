//! A connection that records what begins and ends when.

use std::sync::{Arc, Mutex};

use tch::Tensor;
use trainer::{Begun, BoxError, Reduce};

use crate::threads::Thread;

/// Something that happened, with its number.
pub(crate) type Event = (&'static str, usize);

/// Records the order of sums.
pub(crate) struct Later {
    ranks: Arc<Thread>,
    events: Mutex<Vec<Event>>,
    /// Whether it sums at once, and not when the result is waited for.
    at_once: bool,
    /// A sum that cannot begin, once.
    refuses: Mutex<Option<usize>>,
}

impl Later {
    /// Sums when the result is waited for.
    pub(crate) fn new(ranks: Arc<Thread>) -> Self {
        Self { ranks, events: Mutex::default(), at_once: false, refuses: Mutex::default() }
    }

    /// Sums at once. One sum, if it has a number here, cannot begin when it is tried first.
    pub(crate) fn at_once(ranks: Arc<Thread>, refuses: Option<usize>) -> Self {
        Self { at_once: true, refuses: Mutex::new(refuses), ..Self::new(ranks) }
    }

    pub(crate) fn tell(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

impl Reduce for Later {
    fn rank(&self) -> usize {
        self.ranks.rank()
    }

    fn size(&self) -> usize {
        self.ranks.size()
    }

    fn sum(&self, what: &'static str, x: &mut Tensor) -> Result<(), BoxError> {
        self.ranks.sum(what, x)
    }

    fn begin_sum(&self, what: &'static str, mut x: Tensor) -> Result<Begun<'_>, BoxError> {
        let number = self.events().iter().filter(|event| event.0 == "begin").count();
        if self.refuses.lock().unwrap().take_if(|refused| *refused == number).is_some() {
            return Err("no buffer".into());
        }
        self.tell(("begin", number));
        if self.at_once {
            self.ranks.sum(what, &mut x)?;
            return Ok(Box::new(move || Ok(x)));
        }
        Ok(Box::new(move || -> Result<Tensor, BoxError> {
            self.tell(("end", number));
            self.ranks.sum(what, &mut x)?;
            Ok(x)
        }))
    }

    fn broadcast(&self, what: &'static str, from: usize, x: &mut Tensor) -> Result<(), BoxError> {
        self.ranks.broadcast(what, from, x)
    }

    fn gather(&self, what: &'static str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, BoxError> {
        self.ranks.gather(what, bytes)
    }

    fn wait(&self, what: &'static str) -> Result<(), BoxError> {
        self.ranks.wait(what)
    }
}
