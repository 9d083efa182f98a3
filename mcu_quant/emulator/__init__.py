"""The generated C and the kernels on this machine and on emulated cores."""
