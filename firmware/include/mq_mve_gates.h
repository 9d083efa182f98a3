/* What the integer recurrent layers share on Helium: the arithmetic of mq_recurrent.h for four units at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_GATES_H
#define MQ_MVE_GATES_H

#include "mq_mve_lookup.h"
#include "mq_mve_rows.h"
#include "mq_mve_scale.h"
#include "mq_recurrent.h"

/* Units whose sums lie on the stack at a time; a multiple of 4. */
#define MQ_UNITS 32u

static inline int32x4_t mq_sat_s16_s32(int32x4_t x) {
    return vminq_s32(vmaxq_s32(x, vdupq_n_s32(-32768)), vdupq_n_s32(32767));
}

/* mq_gate. */
static inline int32x4_t mq_gate_s32(int32x4_t sum, int32_t clip, const int16_t *table) {
    const int32x4_t x = vrshrq_n_s32(sum, MQ_GATE_GUARD);
    return mq_lookup_s32(vminq_s32(vmaxq_s32(x, vdupq_n_s32(-clip)), vdupq_n_s32(clip)), table);
}

/* mq_q30_to_s8: q30 * 127 / 2^30, which |q30| < 2^30 keeps within 8 bits. */
static inline int32x4_t mq_q30_to_s8_s32(int32x4_t q30) {
    return vrshrq_n_s32(vqdmulhq_s32(q30, vdupq_n_s32(127 << 24)), 23);
}

/* mq_q30_to_s16. */
static inline int32x4_t mq_q30_to_s16_s32(int32x4_t q30) {
    return mq_sat_s16_s32(vrshrq_n_s32(q30, 15));
}

/* Gates in Q15, and products of two, stored as a hidden state. */
static inline void mq_put_q15_s8(int8_t *to, int32x4_t q15, mve_pred16_t some) {
    vstrbq_p_s32(to, mq_q30_to_s8_s32(vshlq_n_s32(q15, 15)), some);
}

static inline void mq_put_q15_s16(int16_t *to, int32x4_t q15, mve_pred16_t some) {
    vstrhq_p_s32(to, q15, some);
}

static inline void mq_put_q30_s8(int8_t *to, int32x4_t q30, mve_pred16_t some) {
    vstrbq_p_s32(to, mq_q30_to_s8_s32(q30), some);
}

static inline void mq_put_q30_s16(int16_t *to, int32x4_t q30, mve_pred16_t some) {
    vstrhq_p_s32(to, mq_q30_to_s16_s32(q30), some);
}

static inline void mq_clear_sums(int32_t *sums, uint32_t count) {
    for (uint32_t k = 0; k < count; k += 4u) {
        vstrwq_s32(sums + k, vdupq_n_s32(0));
    }
}

/* What `count` rows from row q on add to pre-activations: requantise(start + row . v). `start` NULL is 0. */
static inline void mq_gate_sums_s8(const mq_vector_s8 *v, const int8_t *w, uint32_t q, const int32_t *start,
                                   const int32_t *multiplier, const int8_t *shift, uint32_t count, int32_t *sums) {
    if (!start) {
        mq_clear_sums(sums, count);
    }
    mq_rows_s8(v, w + (size_t)q * v->row, start ? start : sums, count, sums);
    mq_requantise_rows(sums, multiplier + q, shift + q, count);
}

static inline void mq_gate_sums_s16(const mq_vector_s16 *v, const int8_t *w, uint32_t q, const int32_t *start,
                                    const int32_t *multiplier, const int8_t *shift, uint32_t count, int32_t *sums) {
    if (!start) {
        mq_clear_sums(sums, count);
    }
    mq_rows_s16(v, w + (size_t)q * v->row, start ? start : sums, count, sums);
    mq_requantise_rows(sums, multiplier + q, shift + q, count);
}

#endif
