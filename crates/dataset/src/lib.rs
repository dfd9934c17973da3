//! Images in: embedded set, IDX, CIFAR-10, folders, npy/npz; seeded batches out.
