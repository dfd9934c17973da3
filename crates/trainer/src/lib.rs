//! Algorithm 1: loss, Adam, EMA, checkpoints, resume.
