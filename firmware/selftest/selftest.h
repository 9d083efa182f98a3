/* The self-test of a generated folder, and what it asks of the machine it runs on.
 *
 * `selftest` runs the folder's vectors and prints what it found, as docs/self-test-log.md says. The functions below it
 * have defaults in port.c, all of them weak: define one of the same name anywhere in your program to replace it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 0 if every value is as it was on the host and the constants are intact, else 1. */
int selftest(void);

/* Called first: set clocks and open a UART here. By default nothing. */
void selftest_init(void);

/* One character of the log. By default semihosting on Arm and RISC-V, which needs a debugger that serves it; stdio
 * where SELFTEST_STDIO is defined, on Xtensa and on hosts. */
void selftest_putchar(char c);

/* Switches the cycle counter on and returns its name in the log. */
const char *selftest_counter(void);

/* The counter, of 32 bits that wrap around. */
uint32_t selftest_cycles(void);

/* Clock of the core in Hz, 0 if it is not known. By default SELFTEST_CLOCK_HZ, or 0. */
uint32_t selftest_clock_hz(void);

/* Caches: 1 on, 0 off, -1 there is none or it cannot be told. */
int selftest_icache(void);
int selftest_dcache(void);

/* Bytes of free stack below `here`, all of which the test overwrites to see later how far the model came. By default
 * those above the symbol mq_stack_bottom of our linker scripts, or SELFTEST_STACK_BYTES; 0 does not measure. */
uint32_t selftest_stack_room(const void *here);

#ifdef __cplusplus
}
#endif

#endif
