//! Noise schedules of diffusion models: betas, alphas, alpha_bars and what follows from them.
