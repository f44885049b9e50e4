//! Vector kernels, taken at run time where the processor has the instructions. Each has a plain twin to compare with.

#[cfg(target_arch = "x86_64")]
pub(super) mod salsa512;
#[cfg(target_arch = "x86_64")]
pub(super) mod vaes512;
