//! Counter-based random numbers: every draw is a function of (seed, purpose, step, rank).
//!
//! There is no hidden state to save. A resumed run asks for the numbers of step 1001 and gets those that an
//! uninterrupted run would have got. The generator is Philox4x32-10 (Salmon et al. 2011, "Parallel Random Numbers: As
//! Easy as 1, 2, 3", section 3.3). So the numbers do not depend on the device, on libtorch or on how many threads draw
//! at once. `cargo run -p random --example streams` draws some.
//!
//! ```
//! use random::{Purpose, Stream};
//! let mut noise = Stream::new(7, Purpose::TrainNoise, 1000, 0);
//! let eps = noise.normals(4);
//! assert_eq!(eps, Stream::new(7, Purpose::TrainNoise, 1000, 0).normals(4));
//! ```

mod philox;
mod stream;

pub use philox::philox4x32_10;
pub use stream::{Purpose, Stream};
