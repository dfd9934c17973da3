//! Both likelihoods for data whose likelihood and optimal network are known in closed form.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod bound;
mod correlated;
mod density;
mod inputs;
mod together;
mod world;
