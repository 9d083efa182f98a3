/* What the recurrent layers (LSTM, GRU, RNN) share: dot products, and the 16-bit arithmetic of gates.
 *
 * Integer gates. A pre-activation is a sum of requantised accumulators with MQ_GATE_GUARD more fractional bits than the
 * table of its function reads: Q12 for tanh, that is [-8, 8), and Q11 for the sigmoid, [-16, 16). Gates are Q15.
 * A requantised accumulator is at most 2^30 in magnitude, so two of them add up within 32 bits.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_RECURRENT_H
#define MQ_RECURRENT_H

#include "mq_fixed.h"
#include "mq_float.h"

#define MQ_GATE_GUARD 8

/* One of the mq_fn_* of mq_map.h. */
typedef float (*mq_activation)(float x, const float *parameters);

/* acc + sum_i x[i] * w[i]; that no 32-bit sum overflows was proven when the weights were quantised. */
static inline int32_t mq_dot_s8(const int8_t *x, const int8_t *w, uint32_t n, int32_t acc) {
    for (uint32_t i = 0; i < n; i++) {
        acc += (int32_t)x[i] * w[i];
    }
    return acc;
}

static inline int32_t mq_dot_s16_s8(const int16_t *x, const int8_t *w, uint32_t n, int32_t acc) {
    for (uint32_t i = 0; i < n; i++) {
        acc += (int32_t)x[i] * w[i];
    }
    return acc;
}

static inline int64_t mq_dot_s16(const int16_t *x, const int16_t *w, uint32_t n, int64_t acc) {
    for (uint32_t i = 0; i < n; i++) {
        acc += (int32_t)x[i] * w[i];
    }
    return acc;
}

static inline float mq_dot_f32(const float *x, const float *w, uint32_t n, float acc) {
    for (uint32_t i = 0; i < n; i++) {
        acc += x[i] * w[i];
    }
    return acc;
}

static inline float mq_dot_f16(const mq_f16 *x, const mq_f16 *w, uint32_t n, float acc) {
    for (uint32_t i = 0; i < n; i++) {
        acc += mq_f16_to_f32(x[i]) * mq_f16_to_f32(w[i]);
    }
    return acc;
}

/* x limited to [-clip, clip]; NaN stays. */
static inline float mq_limit(float x, float clip) {
    return x < -clip ? -clip : (x > clip ? clip : x);
}

/* A gate in Q15 from its pre-activation: table(limit(rshr(sum, guard), clip)); clip <= 32767 in steps of the table. */
static inline int32_t mq_gate(int32_t sum, int32_t clip, const int16_t *table) {
    return mq_lookup((int16_t)mq_clamp(mq_rshr(sum, MQ_GATE_GUARD), -clip, clip), table);
}

/* A product of two Q15 numbers, |q30| <= 2^30, as s8 with scale 1/127: q30 * 127 / 2^30. */
static inline int8_t mq_q30_to_s8(int32_t q30) {
    return mq_sat_s8(mq_requantise(q30, 127 << 24, -22));
}

/* The same as Q15. */
static inline int16_t mq_q30_to_s16(int32_t q30) {
    return mq_sat_s16(mq_rshr(q30, 15));
}

/* What an input with the scale of the frame needs: the scale as m 2^(shift - 32), and what is added to each sum. */
typedef struct {
    int32_t multiplier;
    int32_t shift;
    const int32_t *bias;
} mq_frame;

/* scale: positive and normal, or 0. bias: [rows], at the scale of the sums. */
static inline mq_frame mq_frame_of(float scale, const int32_t *bias) {
    const uint32_t bits = mq_bits_of(scale);
    const int32_t exponent = (int32_t)(bits >> 23);
    const int32_t mantissa = exponent ? (int32_t)((bits & 0x7fffffu) | 0x800000u) << 7 : 0;
    const mq_frame frame = {mantissa, exponent - 125, bias};
    return frame;
}

/* The sum at row q of an accumulator: acc times the row's factor times the scale of the frame, and its bias. Both
 * limited, so that what comes from h can be added within 32 bits: |sum| <= 2^29 + 2^28. */
static inline int32_t mq_frame_sum(const mq_frame *f, int32_t acc, uint32_t q, int32_t multiplier, int32_t shift) {
    const int32_t both = mq_clamp(shift + f->shift, -31, 31);
    const int32_t sum = mq_requantise(acc, mq_mulhr(multiplier, f->multiplier), both);
    return mq_clamp(sum, -(1 << 29), 1 << 29) + f->bias[q];
}

/* Row of the states of one sequence, [directions, batch, units]. */
static inline size_t mq_state_at(uint32_t d, uint32_t n, uint32_t batch, uint32_t units) {
    return ((size_t)d * batch + n) * units;
}

/* Row of one step of one sequence in [steps, directions, batch, units]. */
static inline size_t mq_step_at(uint32_t t, uint32_t d, uint32_t n, uint32_t directions, uint32_t batch,
                                uint32_t units) {
    return (((size_t)t * directions + d) * batch + n) * units;
}

#endif
