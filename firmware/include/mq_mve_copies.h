/* Values of maps put where products read them, on Helium. All functions are made for s8 and for s16.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_COPIES_H
#define MQ_MVE_COPIES_H

#include "mq_mve.h"

/* In assembly where there is Helium: compilers set the predicate anew for each load and store.
 * mq_put_column: a vector at a time of `runs` >= 1 runs, of which the lanes in `some` are copied.
 * mq_spread: of each of `channels` >= 1 channels, `plane` apart, the lanes in `some` of neighbours go to to[at];
 * mq_spread_far: the same of lanes at from[steps]. */
#if defined(__ARM_FEATURE_MVE)

#define MQ_COPIES(format, value, load, store, load_lanes, store_lanes, scale, vector_load, vector_store, lanes_load,   \
                  lanes_gather, lanes_store)                                                                           \
    static inline void mq_put_column_##format(value *to, const value *from, uint32_t runs, uint32_t x_step,            \
                                              uint32_t step, mve_pred16_t some) {                                      \
        __asm__ volatile(                                                                                              \
            "vmsr p0, %[some]\n\tdls lr, %[runs]\n1:\n\tvpstt\n\t" load " q0, [%[from]]\n\t" store                     \
            " q0, [%[to]]\n\tadd %[from], %[from], %[x_step]\n\tadd %[to], %[to], %[step]\n\tle lr, 1b"                \
            : [from] "+r"(from), [to] "+r"(to)                                                                         \
            : [runs] "r"(runs), [x_step] "r"(x_step * sizeof *to), [step] "r"(step * sizeof *to), [some] "r"(some)     \
            : "q0", "lr", "memory");                                                                                   \
    }                                                                                                                  \
    static inline void mq_spread_##format(value *to, uint16x8_t at, const value *from, uint32_t channels,              \
                                          uint32_t plane, mve_pred16_t some) {                                         \
        __asm__ volatile("vmsr p0, %[some]\n\tdls lr, %[channels]\n1:\n\tvpstt\n\t" load_lanes                         \
                         " q0, [%[from]]\n\t" store_lanes " q0, [%[to], %q[at]" scale                                  \
                         "]\n\tadd %[from], %[from], %[plane]\n\tadd %[to], %[to], %[size]\n\tle lr, 1b"               \
                         : [from] "+r"(from), [to] "+r"(to)                                                            \
                         : [channels] "r"(channels), [plane] "r"(plane * sizeof *to), [size] "i"(sizeof *to),          \
                           [some] "r"(some), [at] "w"(at)                                                              \
                         : "q0", "lr", "memory");                                                                      \
    }                                                                                                                  \
    static inline void mq_spread_far_##format(value *to, uint16x8_t at, const value *from, uint16x8_t steps,           \
                                              uint32_t channels, uint32_t plane, mve_pred16_t some) {                  \
        __asm__ volatile("vmsr p0, %[some]\n\tdls lr, %[channels]\n1:\n\tvpstt\n\t" load_lanes                         \
                         " q0, [%[from], %q[steps]" scale "]\n\t" store_lanes " q0, [%[to], %q[at]" scale              \
                         "]\n\tadd %[from], %[from], %[plane]\n\tadd %[to], %[to], %[size]\n\tle lr, 1b"               \
                         : [from] "+r"(from), [to] "+r"(to)                                                            \
                         : [channels] "r"(channels), [plane] "r"(plane * sizeof *to), [size] "i"(sizeof *to),          \
                           [some] "r"(some), [at] "w"(at), [steps] "w"(steps)                                          \
                         : "q0", "lr", "memory");                                                                      \
    }

#else

#define MQ_COPIES(format, value, load, store, load_lanes, store_lanes, scale, vector_load, vector_store, lanes_load,   \
                  lanes_gather, lanes_store)                                                                           \
    static inline void mq_put_column_##format(value *to, const value *from, uint32_t runs, uint32_t x_step,            \
                                              uint32_t step, mve_pred16_t some) {                                      \
        for (; runs; runs--, from += x_step, to += step) {                                                             \
            vector_store(to, vector_load(from, some), some);                                                           \
        }                                                                                                              \
    }                                                                                                                  \
    static inline void mq_spread_##format(value *to, uint16x8_t at, const value *from, uint32_t channels,              \
                                          uint32_t plane, mve_pred16_t some) {                                         \
        for (; channels; channels--, from += plane, to++) {                                                            \
            lanes_store(to, at, lanes_load(from, some), some);                                                         \
        }                                                                                                              \
    }                                                                                                                  \
    static inline void mq_spread_far_##format(value *to, uint16x8_t at, const value *from, uint16x8_t steps,           \
                                              uint32_t channels, uint32_t plane, mve_pred16_t some) {                  \
        for (; channels; channels--, from += plane, to++) {                                                            \
            lanes_store(to, at, lanes_gather(from, steps, some), some);                                                \
        }                                                                                                              \
    }

#endif

MQ_COPIES(s8, int8_t, "vldrbt.u8", "vstrbt.8", "vldrbt.s16", "vstrbt.16", "", vldrbq_z_s8, vstrbq_p_s8, vldrbq_z_s16,
          vldrbq_gather_offset_z_s16, vstrbq_scatter_offset_p_s16)
MQ_COPIES(s16, int16_t, "vldrht.u16", "vstrht.16", "vldrht.u16", "vstrht.16", ", uxtw #1", vldrhq_z_s16, vstrhq_p_s16,
          vldrhq_z_s16, vldrhq_gather_shifted_offset_z_s16, vstrhq_scatter_shifted_offset_p_s16)

/* mq_put_runs: `runs` runs of `length` values side by side; `x_step` and `step` from one run to the next.
 * mq_put: `length` values, `x_step` apart, put side by side. */
#define MQ_PUTS(format, value, lanes, vctp, four, four_some, put_four, put_some)                                       \
    static inline void mq_put_runs_##format(value *to, const value *x, uint32_t runs, uint32_t length,                 \
                                            uint32_t x_step, uint32_t step) {                                          \
        for (uint32_t k = 0; k < length && runs; k += lanes) {                                                         \
            mq_put_column_##format(to + k, x + k, runs, x_step, step, vctp(length - k));                               \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static inline void mq_put_##format(value *to, const value *x, uint32_t length, uint32_t x_step) {                  \
        const uint32_t offsets[4] = {0, x_step, 2u * x_step, 3u * x_step};                                             \
        const uint32x4_t at = vldrwq_u32(offsets);                                                                     \
        for (uint32_t fours = length >> 2; fours; fours--) {                                                           \
            put_four(to, four(x, at));                                                                                 \
            x += 4u * x_step;                                                                                          \
            to += 4;                                                                                                   \
        }                                                                                                              \
        if (length & 3u) {                                                                                             \
            const mve_pred16_t some = vctp32q(length & 3u);                                                            \
            put_some(to, four_some(x, at, some), some);                                                                \
        }                                                                                                              \
    }

MQ_PUTS(s8, int8_t, 16u, vctp8q, vldrbq_gather_offset_s32, vldrbq_gather_offset_z_s32, vstrbq_s32, vstrbq_p_s32)
MQ_PUTS(s16, int16_t, 8u, vctp16q, vldrhq_gather_shifted_offset_s32, vldrhq_gather_shifted_offset_z_s32, vstrhq_s32,
        vstrhq_p_s32)

/* The lanes in `some` of the values at to[at] of `channels` channels become `value`. */
static inline void mq_fill_lanes_s8(int8_t *to, uint16x8_t at, uint32_t channels, int8_t value, mve_pred16_t some) {
    for (; channels; channels--) {
        vstrbq_scatter_offset_p_s16(to++, at, vdupq_n_s16(value), some);
    }
}

static inline void mq_fill_lanes_s16(int16_t *to, uint16x8_t at, uint32_t channels, int16_t value, mve_pred16_t some) {
    for (; channels; channels--) {
        vstrhq_scatter_shifted_offset_p_s16(to++, at, vdupq_n_s16(value), some);
    }
}

/* Places of eight values `step` apart. */
static inline uint16x8_t mq_steps_of_eight(uint32_t step) {
    uint16_t places[8];
    for (uint32_t k = 0; k < 8u; k++) {
        places[k] = (uint16_t)(k * step);
    }
    return vldrhq_u16(places);
}

#endif
