//! End-to-end tests of the built `ddpm` program: helpers.
