//! The eps-predicting U-Net of DDPM on libtorch.
