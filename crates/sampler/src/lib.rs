//! Algorithm 2 and faster solvers; the model is any closure.
