/* Products of f16 weights with eight places of maps on Helium, in half-precision vector arithmetic, for four outputs at
 * a time or one:
 *
 *   sums[o][l] += sum_i w[i, o] x[i step + l]
 *
 * x lies channel by channel, so eight neighbours of a row are one vector and a channel is one column i; the weights of
 * four outputs lie side by side, column after column. For a column there is one load of x, one of four weights, two
 * shifts and four VFMA: a product reads the low half of a register only. What rounds and how sums are ordered is as in
 * mq_mve_half.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_HALF_MAPS_H
#define MQ_MVE_HALF_MAPS_H

#include "mq_mve_half.h"

/* Outputs at a time. */
#define MQ_OUTPUTS_F16 4u

/* A tap of a window: its place from the windows' base, in elements, and the windows in whose map it lies. */
typedef struct {
    int32_t at;
    uint32_t some;
} mq_half_tap;

/* `columns` columns; `step` elements from one to the next. Only the lanes in `some` are read. */
#if defined(__ARM_FEATURE_MVE)

#define MQ_FOUR_OUTPUTS(load)                                                                                          \
    "ldrd %[u], %[v], [%[w]], #8\n\t" load "q4, [%[x]]\n\tadd %[x], %[x], %[step]\n\t"                                 \
    "vfma.f16 q0, q4, %[u]\n\tlsr %[u], %[u], #16\n\tvfma.f16 q2, q4, %[v]\n\tlsr %[v], %[v], #16\n\t"                 \
    "vfma.f16 q1, q4, %[u]\n\tvfma.f16 q3, q4, %[v]\n\t"
#define MQ_ONE_OUTPUT(load)                                                                                            \
    "ldrh %[u], [%[w]], #2\n\t" load "q4, [%[x]]\n\tadd %[x], %[x], %[step]\n\tvfma.f16 q0, q4, %[u]\n\t"

#define MQ_MAPS_BLOCK(name, outputs, column)                                                                           \
    MQ_OUT_OF_LINE void name(const mq_f16 *x, uint32_t columns, const mq_f16 *w, uint32_t step, uint32_t some,         \
                             float *sums) {                                                                            \
        uint32_t u;                                                                                                    \
        uint32_t v;                                                                                                    \
        uint32_t blocks = columns / MQ_TERMS;                                                                          \
        __asm__ volatile("vmsr p0, %[some]\n\tcmp %[blocks], #0\n\tbeq.w 3f\n1:\n\t" MQ_CLEAR##outputs MQ_IN_A_LOOP(   \
                             column) MQ_FLUSH##outputs "subs %[blocks], #1\n\tbne.w 1b\n3:\n\t"                        \
                                                       "cmp %[rest], #0\n\tbeq.w 5f\n\t" MQ_CLEAR##outputs             \
                         "dls lr, %[rest]\n4:\n\t" column "le lr, 4b\n\t" MQ_FLUSH##outputs "5:"                       \
                         : [u] "=&r"(u), [v] "=&r"(v), [x] "+r"(x), [w] "+r"(w), [blocks] "+r"(blocks)                 \
                         : [step] "r"(2u * step), [some] "r"(some), [rest] "r"(columns % MQ_TERMS), [sums] "r"(sums)   \
                         : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "lr", "cc", "memory");                            \
    }

/* One vector: sums += sum_t w[t] x[at[t] + offsets], of the lanes that each tap has; up to MQ_TERMS taps, in f16. */
MQ_OUT_OF_LINE void mq_half_taps(const mq_f16 *x, uint16x8_t offsets, const mq_half_tap *taps, uint32_t count,
                                 const mq_f16 *w, float *sums) {
    uint32_t u;
    uint32_t at;
    uint32_t some;
    __asm__ volatile("vmov.i32 q0, #0\n\tdls lr, %[count]\n1:\n\t"
                     "ldrd %[at], %[some], [%[taps]], #8\n\tvmsr p0, %[some]\n\tadd %[at], %[x], %[at], lsl #1\n\t"
                     "ldrh %[u], [%[w]], #2\n\tvpst\n\tvldrht.u16 q4, [%[at], %q[offsets], uxtw #1]\n\t"
                     "vfma.f16 q0, q4, %[u]\n\tle lr, 1b\n\t" MQ_FLUSH1
                     : [u] "=&r"(u), [at] "=&r"(at), [some] "=&r"(some), [taps] "+r"(taps), [w] "+r"(w)
                     : [x] "r"(x), [count] "r"(count), [offsets] "w"(offsets), [sums] "r"(sums)
                     : "q0", "q4", "q5", "q6", "lr", "cc", "memory");
}

MQ_MAPS_BLOCK(mq_half_maps4_all, 4, MQ_FOUR_OUTPUTS(MQ_ALL_F16))
MQ_MAPS_BLOCK(mq_half_maps4_some, 4, MQ_FOUR_OUTPUTS(MQ_SOME_F16))
MQ_MAPS_BLOCK(mq_half_maps1_some, 1, MQ_ONE_OUTPUT(MQ_SOME_F16))

/* Adds to the sums of `outputs`, 4 or 1. columns >= 1. */
static inline void mq_half_maps(const mq_f16 *x, uint32_t columns, const mq_f16 *w, uint32_t step, mve_pred16_t some,
                                uint32_t outputs, float *sums) {
    if (outputs == 1u) {
        mq_half_maps1_some(x, columns, w, step, some, sums);
    } else if (some == 0xffffu) {
        mq_half_maps4_all(x, columns, w, step, some, sums);
    } else {
        mq_half_maps4_some(x, columns, w, step, some, sums);
    }
}

#else

static inline void mq_half_taps(const mq_f16 *x, uint16x8_t offsets, const mq_half_tap *taps, uint32_t count,
                                const mq_f16 *w, float *sums) {
    float16x8_t acc = vreinterpretq_f16_u16(vdupq_n_u16(0));
    for (; count; count--, taps++) {
        const uint16x8_t v = vldrhq_gather_shifted_offset_z_u16(x + taps->at, offsets, (mve_pred16_t)taps->some);
        acc = vfmaq_f16(acc, vreinterpretq_f16_u16(v), vreinterpretq_f16_u16(vdupq_n_u16(*w++)));
    }
    mq_half_flush(acc, sums);
}

static inline void mq_half_maps(const mq_f16 *x, uint32_t columns, const mq_f16 *w, uint32_t step, mve_pred16_t some,
                                uint32_t outputs, float *sums) {
    for (uint32_t o = 0; o < outputs; o++, sums += 8) {
        for (uint32_t first = 0; first < columns; first += MQ_TERMS) {
            const uint32_t end = columns - first < MQ_TERMS ? columns : first + MQ_TERMS;
            float16x8_t acc = vreinterpretq_f16_u16(vdupq_n_u16(0));
            for (uint32_t i = first; i < end; i++) {
                const float16x8_t column = mq_load_some_f16(x + (ptrdiff_t)i * (ptrdiff_t)step, some);
                acc = vfmaq_f16(acc, column, vreinterpretq_f16_u16(vdupq_n_u16(w[(size_t)i * outputs + o])));
            }
            mq_half_flush(acc, sums);
        }
    }
}

#endif

/* How many outputs go together, of `left`: four, else one by one. mcu_quant/ops/common/packing.py packs so. */
static inline uint32_t mq_half_outputs(uint32_t left) {
    return left < MQ_OUTPUTS_F16 ? 1u : MQ_OUTPUTS_F16;
}

/* Sums of `outputs` outputs begin with their biases. */
static inline void mq_half_biases(const float *b, uint32_t outputs, float *sums) {
    for (uint32_t o = 0; o < outputs; o++) {
        mq_eight_put(sums + 8u * o, mq_eight_same(b ? b[o] : 0.0f));
    }
}

/* Results of `outputs` outputs, of the first `count` lanes; `map` elements from one output to the next. */
static inline void mq_half_places(const float *sums, uint32_t outputs, uint32_t count, float low, float high,
                                  uint32_t map, mq_f16 *y) {
    for (uint32_t o = 0; o < outputs; o++, y += map, sums += 8) {
        const float16x8_t v = mq_half_result(sums, low, high);
        if (count < 8u) {
            mq_store_some_f16(y, v, vctp16q(count));
        } else {
            vstrhq_u16(y, vreinterpretq_u16_f16(v));
        }
    }
}

#endif
