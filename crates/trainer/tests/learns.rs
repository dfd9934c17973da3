//! The embedded set: within a few dozen steps the loss falls at every noise level that can be learned so early.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use dataset::{BatchPlan, Dataset, OpenOptions, Source};
use support::{config, model, tiny_net, trainer};
use trainer::{Batch, Interval};

#[test]
fn the_loss_falls_on_the_embedded_set() {
    tch::set_num_threads(1);
    let options = OpenOptions { size: Some(8.into()), limit: Some(200), ..OpenOptions::default() };
    let data = Dataset::open(&Source::detect("fashion-mnist").unwrap(), &options).unwrap();
    let plan = BatchPlan::new(data.len(), 16, 0).unwrap().with_flip(true);

    let net = tiny_net(0.0, 0);
    let mut trainer = trainer(&net, &config(60), 0);
    let mut parts = vec![Interval::default(); 6];
    for step in 0..60 {
        let batch = plan.batch(&data, step).unwrap();
        let images = tensor_io::from_array(&batch.images.view().into_dyn()).unwrap();
        let report = trainer.train_step(&Batch { images, labels: None }, &model(&net)).unwrap();
        parts[step as usize / 10].add(&report, trainer.timesteps());
    }
    let records: Vec<_> = parts.iter_mut().map(|part| part.finish(10, 0.0, 0.0)).collect();
    let (first, last) = (&records[0], &records[5]);
    assert!(last.loss < 0.6 * first.loss, "from {} to {}", first.loss, last.loss);

    // In the noisier half of the chain, x_t is nearly eps.
    for bucket in 5..10 {
        let (before, after) = (first.loss_by_t[bucket].unwrap(), last.loss_by_t[bucket].unwrap());
        assert!(after < 0.7 * before, "tenth {bucket} of the chain: from {before} to {after}");
    }
}
