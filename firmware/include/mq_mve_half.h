/* Products of f16 matrices on Helium, in half-precision vector arithmetic: up to 32 lanes at a time,
 *
 *   sums[l] += sum_i x[i] w[i step + l]
 *
 * Lanes are rows of packed weights or places of a map; x is a vector of features or a row of weights. For each column i
 * there is one load of x and, for eight lanes, one load of w and one VFMA.
 *
 * Rounding. A VFMA rounds once, to f16. MQ_TERMS columns at a time are summed in f16, then added to `sums` in f32, so
 * what f16 loses does not grow with the length of the sum: with terms of like size the error is that of 2^-12
 * sqrt(17/2) relative to one block, 66 dB below the signal. Sums of a block beyond 65504 become infinite. Subnormal
 * halves count.
 *
 * Order. VCVTB and VCVTT widen the even and the odd lanes of a vector, so of every eight sums the even ones come first:
 * 0 2 4 6 1 3 5 7. What adds to the sums is brought into this order, and narrowing undoes it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_HALF_H
#define MQ_MVE_HALF_H

#include "mq_float.h"
#include "mq_mve.h"

/* Lanes at a time, and columns that are summed in f16. */
#define MQ_LANES_F16 32u
#define MQ_TERMS 16u

static inline float16x8_t mq_load_f16(const mq_f16 *p) {
    return vreinterpretq_f16_u16(vldrhq_u16(p));
}

static inline float16x8_t mq_load_some_f16(const mq_f16 *p, mve_pred16_t some) {
    return vreinterpretq_f16_u16(vldrhq_z_u16(p, some));
}

static inline void mq_store_some_f16(mq_f16 *p, float16x8_t v, mve_pred16_t some) {
    vstrhq_p_u16(p, vreinterpretq_u16_f16(v), some);
}

/* Eight values in f32, the even ones and the odd ones. */
typedef struct {
    float32x4_t even;
    float32x4_t odd;
} mq_eight_f32;

/* Eight values, or the first `count` < 8 of them and 0. */
static inline mq_eight_f32 mq_eight_parted(const float *values) {
    static const uint32_t places[4] = {0, 2, 4, 6};
    const uint32x4_t at = vldrwq_u32(places);
    return (mq_eight_f32){vldrwq_gather_shifted_offset_f32(values, at),
                          vldrwq_gather_shifted_offset_f32(values + 1, at)};
}

static inline mq_eight_f32 mq_some_parted(const float *values, uint32_t count) {
    static const uint32_t places[4] = {0, 2, 4, 6};
    const uint32x4_t at = vldrwq_u32(places);
    return (mq_eight_f32){vldrwq_gather_shifted_offset_z_f32(values, at, vctp32q((count + 1u) >> 1)),
                          vldrwq_gather_shifted_offset_z_f32(values + 1, at, vctp32q(count >> 1))};
}

static inline mq_eight_f32 mq_eight_widened(float16x8_t a) {
    return (mq_eight_f32){mq_widen_even(a), mq_widen_odd(a)};
}

static inline float16x8_t mq_eight_narrowed(mq_eight_f32 a) {
    return mq_narrow_odd(mq_narrow_even(vreinterpretq_f16_u16(vdupq_n_u16(0)), a.even), a.odd);
}

static inline mq_eight_f32 mq_eight_at(const float *sums) {
    return (mq_eight_f32){vldrwq_f32(sums), vldrwq_f32(sums + 4)};
}

static inline void mq_eight_put(float *sums, mq_eight_f32 v) {
    vstrwq_f32(sums, v.even);
    vstrwq_f32(sums + 4, v.odd);
}

static inline mq_eight_f32 mq_eight_same(float value) {
    return (mq_eight_f32){vdupq_n_f32(value), vdupq_n_f32(value)};
}

/* Adds what was summed in f16. */
static inline void mq_half_flush(float16x8_t acc, float *sums) {
    mq_eight_put(sums, (mq_eight_f32){vaddq_f32(mq_widen_even(acc), vldrwq_f32(sums)),
                                      vaddq_f32(mq_widen_odd(acc), vldrwq_f32(sums + 4))});
}

/* `columns` columns of `vectors` vectors, `step` elements from one column to the next; of the last vector `last`. */
#if defined(__ARM_FEATURE_MVE)

/* One column of one to four vectors: q0..q3 += x w; `load` loads the last vector. */
#define MQ_X_F16 "ldrh %[v], [%[x]], #2\n\t"
#define MQ_MOVE_F16 "add %[w], %[w], %[step]\n\t"
#define MQ_SOME_F16 "vpst\n\tvldrht.u16 "
#define MQ_ALL_F16 "vldrh.u16 "
#define MQ_COLUMN1(load) MQ_X_F16 load "q4, [%[w]]\n\t" MQ_MOVE_F16 "vfma.f16 q0, q4, %[v]\n\t"
#define MQ_COLUMN2(load)                                                                                               \
    MQ_X_F16 "vldrh.u16 q4, [%[w]]\n\t" load "q5, [%[w], #16]\n\t"                                                     \
             "vfma.f16 q0, q4, %[v]\n\t" MQ_MOVE_F16 "vfma.f16 q1, q5, %[v]\n\t"
#define MQ_COLUMN3(load)                                                                                               \
    MQ_X_F16 "vldrh.u16 q4, [%[w]]\n\tvldrh.u16 q5, [%[w], #16]\n\tvfma.f16 q0, q4, %[v]\n\t" load                     \
             "q4, [%[w], #32]\n\tvfma.f16 q1, q5, %[v]\n\t" MQ_MOVE_F16 "vfma.f16 q2, q4, %[v]\n\t"
#define MQ_COLUMN4(load)                                                                                               \
    MQ_X_F16 "vldrh.u16 q4, [%[w]]\n\tvldrh.u16 q5, [%[w], #16]\n\tvfma.f16 q0, q4, %[v]\n\t"                          \
             "vldrh.u16 q4, [%[w], #32]\n\tvfma.f16 q1, q5, %[v]\n\t" load "q5, [%[w], #48]\n\t"                       \
             "vfma.f16 q2, q4, %[v]\n\t" MQ_MOVE_F16 "vfma.f16 q3, q5, %[v]\n\t"
/* Four vectors that follow the last four. */
#define MQ_COLUMN_NEXT                                                                                                 \
    MQ_X_F16 "vldrh.u16 q4, [%[w], #16]\n\tvldrh.u16 q5, [%[w], #32]\n\tvfma.f16 q1, q4, %[v]\n\t"                     \
             "vldrh.u16 q4, [%[w], #48]\n\tvfma.f16 q2, q5, %[v]\n\tvldrh.u16 q5, [%[w]], #64\n\t"                     \
             "vfma.f16 q3, q4, %[v]\n\tvfma.f16 q0, q5, %[v]\n\t"

/* Adds q`k` to its sums, of which the even and odd lanes lie at `even` and `odd`: VCVTB to q4 and VCVTT to q5 as
 * mq_mve_widen.h has them. */
#define MQ_FLUSH_F16(k, even, odd)                                                                                     \
    ".inst.w 0xfe3f8e01 + (" k " << 1)\n\tvldrw.32 q6, [%[sums], #" even "]\n\t"                                       \
    ".inst.w 0xfe3fbe01 + (" k " << 1)\n\tvadd.f32 q4, q4, q6\n\tvldrw.32 q6, [%[sums], #" odd "]\n\t"                 \
    "vstrw.32 q4, [%[sums], #" even "]\n\tvadd.f32 q5, q5, q6\n\tvstrw.32 q5, [%[sums], #" odd "]\n\t"
#define MQ_CLEAR1 "vmov.i32 q0, #0\n\t"
#define MQ_CLEAR2 MQ_CLEAR1 "vmov.i32 q1, #0\n\t"
#define MQ_CLEAR3 MQ_CLEAR2 "vmov.i32 q2, #0\n\t"
#define MQ_CLEAR4 MQ_CLEAR3 "vmov.i32 q3, #0\n\t"
#define MQ_FLUSH1 MQ_FLUSH_F16("0", "0", "16")
#define MQ_FLUSH2 MQ_FLUSH1 MQ_FLUSH_F16("1", "32", "48")
#define MQ_FLUSH3 MQ_FLUSH2 MQ_FLUSH_F16("2", "64", "80")
#define MQ_FLUSH4 MQ_FLUSH3 MQ_FLUSH_F16("3", "96", "112")

/* MQ_TERMS columns, one after the other or in a loop. */
#define MQ_STRAIGHT(column)                                                                                            \
    column column column column column column column column column column column column column column column column
#define MQ_IN_A_LOOP(column) "mov lr, #4\n\tdls lr, lr\n2:\n\t" column column column column "le lr, 2b\n\t"

#define MQ_HALF_BLOCK(name, vectors, terms, column)                                                                    \
    MQ_OUT_OF_LINE void name(const mq_f16 *x, uint32_t columns, const mq_f16 *w, uint32_t step, uint32_t last,         \
                             float *sums) {                                                                            \
        uint32_t v;                                                                                                    \
        uint32_t blocks = columns / MQ_TERMS;                                                                          \
        __asm__ volatile("vmsr p0, %[last]\n\tcmp %[blocks], #0\n\tbeq.w 3f\n1:\n\t" MQ_CLEAR##vectors terms(column)   \
                             MQ_FLUSH##vectors "subs %[blocks], #1\n\tbne.w 1b\n3:\n\t"                                \
                                               "cmp %[rest], #0\n\tbeq.w 5f\n\t" MQ_CLEAR##vectors                     \
                         "dls lr, %[rest]\n4:\n\t" column "le lr, 4b\n\t" MQ_FLUSH##vectors "5:"                       \
                         : [v] "=&r"(v), [x] "+r"(x), [w] "+r"(w), [blocks] "+r"(blocks)                               \
                         : [step] "r"(2u * step), [last] "r"(last), [rest] "r"(columns % MQ_TERMS), [sums] "r"(sums)   \
                         : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "lr", "cc", "memory");                            \
    }

MQ_HALF_BLOCK(mq_half_next4, 4, MQ_STRAIGHT, MQ_COLUMN_NEXT)
MQ_HALF_BLOCK(mq_half_all4, 4, MQ_IN_A_LOOP, MQ_COLUMN4(MQ_ALL_F16))
MQ_HALF_BLOCK(mq_half_some4, 4, MQ_IN_A_LOOP, MQ_COLUMN4(MQ_SOME_F16))
MQ_HALF_BLOCK(mq_half_some3, 3, MQ_IN_A_LOOP, MQ_COLUMN3(MQ_SOME_F16))
MQ_HALF_BLOCK(mq_half_some2, 2, MQ_IN_A_LOOP, MQ_COLUMN2(MQ_SOME_F16))
MQ_HALF_BLOCK(mq_half_some1, 1, MQ_IN_A_LOOP, MQ_COLUMN1(MQ_SOME_F16))

/* Adds to the sums of `lanes` <= 32 lanes. columns >= 1. Whole vectors of `sums` are used. */
static inline void mq_half_dots(const mq_f16 *x, uint32_t columns, const mq_f16 *w, uint32_t step, uint32_t lanes,
                                float *sums) {
    const uint32_t last = vctp16q(((lanes - 1u) & 7u) + 1u);
    if (lanes == MQ_LANES_F16) {
        if (step == MQ_LANES_F16) {
            mq_half_next4(x, columns, w, step, last, sums);
        } else {
            mq_half_all4(x, columns, w, step, last, sums);
        }
    } else if (lanes > 24u) {
        mq_half_some4(x, columns, w, step, last, sums);
    } else if (lanes > 16u) {
        mq_half_some3(x, columns, w, step, last, sums);
    } else if (lanes > 8u) {
        mq_half_some2(x, columns, w, step, last, sums);
    } else {
        mq_half_some1(x, columns, w, step, last, sums);
    }
}

#else

static inline void mq_half_dots(const mq_f16 *x, uint32_t columns, const mq_f16 *w, uint32_t step, uint32_t lanes,
                                float *sums) {
    for (uint32_t l = 0; l < lanes; l += 8u, sums += 8) {
        const mve_pred16_t some = vctp16q(lanes - l);
        for (uint32_t first = 0; first < columns; first += MQ_TERMS) {
            const uint32_t end = columns - first < MQ_TERMS ? columns : first + MQ_TERMS;
            float16x8_t acc = vreinterpretq_f16_u16(vdupq_n_u16(0));
            for (uint32_t i = first; i < end; i++) {
                const float16x8_t column = mq_load_some_f16(w + (size_t)i * step + l, some);
                acc = vfmaq_f16(acc, column, vreinterpretq_f16_u16(vdupq_n_u16(x[i])));
            }
            mq_half_flush(acc, sums);
        }
    }
}

#endif

/* Sums begin as the same value. */
static inline void mq_half_start_same(float value, uint32_t lanes, float *sums) {
    for (uint32_t l = 0; l < lanes; l += 8u) {
        mq_eight_put(sums + l, mq_eight_same(value));
    }
}

/* Sums begin as `values` (0 where NULL), `lanes` of them. */
static inline void mq_half_start(const float *values, uint32_t lanes, float *sums) {
    if (!values) {
        mq_half_start_same(0.0f, lanes, sums);
        return;
    }
    for (; lanes >= 8u; lanes -= 8u, values += 8, sums += 8) {
        mq_eight_put(sums, mq_eight_parted(values));
    }
    if (lanes) {
        mq_eight_put(sums, mq_some_parted(values, lanes));
    }
}

/* x limited to [low, high]. NaN becomes a limit. */
static inline mq_eight_f32 mq_eight_limited(mq_eight_f32 x, float low, float high) {
    const float32x4_t least = vdupq_n_f32(low);
    const float32x4_t most = vdupq_n_f32(high);
    return (mq_eight_f32){vminnmq_f32(vmaxnmq_f32(x.even, least), most), vminnmq_f32(vmaxnmq_f32(x.odd, least), most)};
}

/* The results of eight sums: min(max(sum, low), high), rounded to f16. NaN stays where there is no limit. */
static inline float16x8_t mq_half_result(const float *sums, float low, float high) {
    const mq_eight_f32 v = mq_eight_at(sums);
    return mq_eight_narrowed(low > -MQ_INFINITY || high < MQ_INFINITY ? mq_eight_limited(v, low, high) : v);
}

static inline void mq_half_finish(const float *sums, uint32_t lanes, float low, float high, mq_f16 *y) {
    for (; lanes >= 8u; lanes -= 8u, sums += 8, y += 8) {
        vstrhq_u16(y, vreinterpretq_u16_f16(mq_half_result(sums, low, high)));
    }
    if (lanes) {
        mq_store_some_f16(y, mq_half_result(sums, low, high), vctp16q(lanes));
    }
}

/* Where lanes `first` (a multiple of 32) and on of a group of rows lie: mcu_quant/ops/common/packing.py packs blocks of
 * 32 rows, column after column. */
static inline const mq_f16 *mq_half_lanes(const mq_f16 *w, uint32_t group, uint32_t first, uint32_t rows,
                                          uint32_t columns) {
    return w + ((size_t)group * rows + first) * columns;
}

/* How many lanes the block at `first` of `rows` rows has. */
static inline uint32_t mq_half_count(uint32_t rows, uint32_t first) {
    return rows - first < MQ_LANES_F16 ? rows - first : MQ_LANES_F16;
}

#endif
