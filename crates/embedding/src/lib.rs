//! Time embeddings: sinusoids of normalised t, transformer sinusoids, Gaussian Fourier features.
