//! Gradients are sent in buckets, and the next one is filled while one is being summed.

use std::sync::{Arc, Mutex};

use tch::Tensor;
use trainer::{Begun, BoxError, Reduce, Reduction};

use crate::support::{conditional_net, config, model, trainer};
use crate::threads::{Thread, on_ranks, rank_trainer, share};

/// Begin or end of a sum, with its number.
type Event = (&'static str, usize);

/// Sums when the result is waited for, and records the order.
struct Later {
    ranks: Arc<Thread>,
    events: Mutex<Vec<Event>>,
}

impl Later {
    fn tell(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn events(&self) -> Vec<Event> {
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
        self.tell(("begin", number));
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

/// The hash of the weights after a step with buckets of this size, and the order of the sums, on each of two ranks.
fn step(bucket: usize) -> Vec<(u64, Vec<Event>)> {
    on_ranks(2, |ranks| {
        let rank = ranks.rank();
        let later = Arc::new(Later { ranks, events: Mutex::default() });
        let net = conditional_net(Some(4), 0.0, 1);
        let mut trainer = trainer(&net, &config(10), 7);
        trainer.join(later.clone(), Reduction { bucket, bf16: false }).unwrap();
        trainer.share_state(None).unwrap();
        let _ = trainer.train_step(&share(0, rank, 2), &model(&net)).unwrap();
        (trainer.weights_hash().unwrap(), later.events())
    })
}

/// The order of `n` sums of which at most two are under way.
fn order(n: usize) -> Vec<Event> {
    let pairs = (1..n).flat_map(|next| [("begin", next), ("end", next - 1)]);
    [("begin", 0)].into_iter().chain(pairs).chain([("end", n - 1)]).collect()
}

#[test]
fn the_next_bucket_is_filled_while_one_is_summed() {
    let whole = on_ranks(2, |ranks| {
        let rank = ranks.rank();
        let (net, mut trainer) = rank_trainer(ranks, &config(10), Reduction::default());
        let _ = trainer.train_step(&share(0, rank, 2), &model(&net)).unwrap();
        trainer.weights_hash().unwrap()
    });
    for (bucket, least) in [(1 << 30, 1), (5000, 3), (1, 10)] {
        for (hash, events) in step(bucket) {
            let n = events.len() / 2;
            assert!(n >= least && (n == 1 || bucket < 1 << 30), "{n} sums in buckets of {bucket}");
            assert_eq!(events, order(n), "{bucket}");
            assert_eq!(hash, whole[0], "{bucket}");
        }
    }
    assert_eq!(whole[0], whole[1]);
}
