/* What the self-test asks of the machine, for Arm M-profile, RISC-V, Xtensa and hosts. Every function is weak.
 * SPDX-License-Identifier: Apache-2.0 */
#if !defined(__arm__) && !defined(__riscv) && !defined(__XTENSA__)
#define SELFTEST_HOSTED
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 199309L /* clock_gettime */
#endif
#endif

#include "selftest.h"

#if defined(SELFTEST_HOSTED) || defined(__XTENSA__) || defined(SELFTEST_STDIO)
#include <stdio.h>
#define SELFTEST_PUTCHAR_STDIO
#else
#include "semihosting.h"
#endif
#if defined(SELFTEST_HOSTED)
#include <time.h>
#endif

#if !defined(SELFTEST_CLOCK_HZ)
#define SELFTEST_CLOCK_HZ 0
#endif
#if !defined(SELFTEST_STACK_BYTES)
#if defined(SELFTEST_HOSTED)
#define SELFTEST_STACK_BYTES 262144
#else
#define SELFTEST_STACK_BYTES 0
#endif
#endif

#if defined(__GNUC__)
#define WEAK __attribute__((weak))
#else
#define WEAK
#endif

WEAK void selftest_init(void) {
}

WEAK uint32_t selftest_clock_hz(void) {
    return SELFTEST_CLOCK_HZ;
}

#if defined(SELFTEST_PUTCHAR_STDIO)

WEAK void selftest_putchar(char c) {
    (void)putchar(c);
    if (c == '\n') {
        (void)fflush(stdout);
    }
}

#else

/* A line at a time: every call stops the core until the debugger has looked. */
WEAK void selftest_putchar(char c) {
    static char line[160];
    static uint32_t length;
    line[length++] = c;
    if (c == '\n' || length == sizeof line - 1) {
        line[length] = 0;
        (void)semihosting(SEMIHOSTING_WRITE0, (uintptr_t)line);
        length = 0;
    }
}

#endif

/* --- stack --- */

#if defined(__GNUC__) && !defined(SELFTEST_HOSTED)

extern const char mq_stack_bottom[] WEAK;

WEAK uint32_t selftest_stack_room(const void *here) {
    const char *const volatile bottom = mq_stack_bottom; /* volatile: 0 where no linker script gives it */
    return bottom && (const char *)here > bottom ? (uint32_t)((const char *)here - bottom) : SELFTEST_STACK_BYTES;
}

#else

WEAK uint32_t selftest_stack_room(const void *here) {
    (void)here;
    return SELFTEST_STACK_BYTES;
}

#endif

/* --- Arm M-profile --- */

#if defined(__arm__)

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SYST_CSR REGISTER(0xe000e010u)
#define SYST_RVR REGISTER(0xe000e014u)
#define SYST_CVR REGISTER(0xe000e018u)
#define CPUID REGISTER(0xe000ed00u)
#define CCR REGISTER(0xe000ed14u)
#define CLIDR REGISTER(0xe000ed78u)
#define DEMCR REGISTER(0xe000edfcu)
#define DWT_CTRL REGISTER(0xe0001000u)
#define DWT_CYCCNT REGISTER(0xe0001004u)
#define DWT_LAR REGISTER(0xe0001fb0u)
#define CPUID_HAS_DWT(id) ((((id) >> 16) & 15u) == 15u) /* Armv7-M and later; Armv6-M has 12 there */
#define DWT_NOCYCCNT (1u << 25)
#define SYSTICK_TOP 0xffffffu

void SysTick_Handler(void);

static volatile uint32_t wraps;
static int by_dwt;

/* The counter of 24 bits started anew. */
WEAK void SysTick_Handler(void) {
    wraps++;
}

static uint32_t systick(void) {
    uint32_t before, value;
    do {
        before = wraps;
        value = SYST_CVR;
    } while (before != wraps);
    return before * (SYSTICK_TOP + 1u) + (SYSTICK_TOP - value);
}

/* Whether the cycle counter of the debug unit counts. */
static int dwt_counts(void) {
    DEMCR |= 1u << 24;
    DWT_LAR = 0xc5acce55u; /* Cortex-M7 has a lock, others ignore this */
    DWT_CYCCNT = 0;
    DWT_CTRL |= 1u;
    const uint32_t began = DWT_CYCCNT;
    for (volatile uint32_t i = 0; i < 32; i++) {
    }
    return DWT_CYCCNT != began;
}

/* A core that has a debug unit, does not say that the unit lacks the counter, and yet does not count is an emulated
 * one: QEMU reads zeros there, and its SysTick goes by emulated time. */
WEAK const char *selftest_counter(void) {
    const int has_unit = CPUID_HAS_DWT(CPUID);
    by_dwt = has_unit && dwt_counts();
    if (by_dwt) {
        return "dwt";
    }
    SYST_RVR = SYSTICK_TOP;
    SYST_CVR = 0;
    SYST_CSR = 7u; /* core clock, interrupt, on */
#if defined(SELFTEST_EMULATED)
    return "emulated";
#else
    return has_unit && !(DWT_CTRL & DWT_NOCYCCNT) ? "emulated" : "systick";
#endif
}

WEAK uint32_t selftest_cycles(void) {
    return by_dwt ? DWT_CYCCNT : systick();
}

#if defined(__ARM_ARCH) && __ARM_ARCH >= 7
#define HAS_CACHES (CLIDR & 7u)
#else
#define HAS_CACHES 0u
#endif

WEAK int selftest_icache(void) {
    return HAS_CACHES & 1u ? (int)((CCR >> 17) & 1u) : -1;
}

WEAK int selftest_dcache(void) {
    return HAS_CACHES & 6u ? (int)((CCR >> 16) & 1u) : -1;
}

#else

WEAK int selftest_icache(void) {
    return -1;
}

WEAK int selftest_dcache(void) {
    return -1;
}

#endif

/* --- other cores --- */

#if defined(__riscv)

WEAK const char *selftest_counter(void) {
#if defined(SELFTEST_EMULATED)
    return "emulated";
#else
    return "mcycle";
#endif
}

WEAK uint32_t selftest_cycles(void) {
    uint32_t now;
    __asm__ volatile(".option push\n .option arch, +zicsr\n csrr %0, mcycle\n .option pop" : "=r"(now));
    return now;
}

#elif defined(__XTENSA__)

WEAK const char *selftest_counter(void) {
    return "ccount";
}

WEAK uint32_t selftest_cycles(void) {
    uint32_t now;
    __asm__ volatile("rsr %0, ccount" : "=r"(now));
    return now;
}

#elif defined(SELFTEST_HOSTED)

/* Nanoseconds of this machine, which are no cycles of any board. */
WEAK const char *selftest_counter(void) {
    return "emulated";
}

WEAK uint32_t selftest_cycles(void) {
#if defined(_WIN32)
    return (uint32_t)((uint64_t)clock() * 1000000000u / CLOCKS_PER_SEC);
#else
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
#endif
}

#endif
