/* What the recurrent layers in f16 share on Helium: pre-activations of up to 32 units, and functions of eight of them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_HALF_GATES_H
#define MQ_MVE_HALF_GATES_H

#include "mq_mve_float.h"
#include "mq_mve_half.h"
#include "mq_recurrent.h"

/* What a layer reads: packed matrices, the bias or NULL, and their sizes. */
typedef struct {
    const mq_f16 *w;
    const mq_f16 *r;
    const float *b;
    uint32_t inputs;
    uint32_t units;
} mq_half_matrices;

/* b + W x of `count` <= 32 units from j on, of one group of rows. */
static inline void mq_half_from_x(const mq_half_matrices *m, const mq_f16 *x, uint32_t group, uint32_t j,
                                  uint32_t count, float *sums) {
    mq_half_start(m->b ? m->b + group * m->units + j : NULL, count, sums);
    mq_half_dots(x, m->inputs, mq_half_lanes(m->w, group, j, m->units, m->inputs), count, count, sums);
}

/* Adds R h. */
static inline void mq_half_from_h(const mq_half_matrices *m, const mq_f16 *h, uint32_t group, uint32_t j,
                                  uint32_t count, float *sums) {
    mq_half_dots(h, m->units, mq_half_lanes(m->r, group, j, m->units, m->units), count, count, sums);
}

/* One of the functions of a layer: the sigmoid or tanh, which are computed here, or any other, one by one. */
typedef struct {
    enum { MQ_SIGMOID, MQ_TANH, MQ_OTHER } kind;
    mq_activation other;
    const float *parameters;
} mq_half_function;

/* `usual`: what f is, where it is computed here. */
static inline mq_half_function mq_half_function_of(uint32_t usual, int is_sigmoid, mq_activation f,
                                                   const float *parameters) {
    mq_half_function g = {MQ_OTHER, f, parameters};
    if (usual) {
        g.kind = is_sigmoid ? MQ_SIGMOID : MQ_TANH;
    }
    return g;
}

MQ_OUT_OF_LINE void mq_half_others(float *values, const mq_half_function *f) {
    for (uint32_t k = 0; k < 8u; k++) {
        values[k] = f->other(values[k], f->parameters);
    }
}

static inline mq_eight_f32 mq_half_apply(mq_eight_f32 v, const mq_half_function *f) {
    if (f->kind == MQ_SIGMOID) {
        return (mq_eight_f32){mq_sigmoid_f32(v.even), mq_sigmoid_f32(v.odd)};
    }
    if (f->kind == MQ_TANH) {
        return (mq_eight_f32){mq_tanh_f32(v.even), mq_tanh_f32(v.odd)};
    }
    float values[8];
    mq_eight_put(values, v);
    mq_half_others(values, f);
    return mq_eight_at(values);
}

static inline mq_eight_f32 mq_half_clipped(mq_eight_f32 v, float clip) {
    return clip < MQ_INFINITY ? mq_eight_limited(v, -clip, clip) : v;
}

static inline mq_eight_f32 mq_eight_mul(mq_eight_f32 a, mq_eight_f32 b) {
    return (mq_eight_f32){vmulq_f32(a.even, b.even), vmulq_f32(a.odd, b.odd)};
}

/* a + b c */
static inline mq_eight_f32 mq_eight_fma(mq_eight_f32 a, mq_eight_f32 b, mq_eight_f32 c) {
    return (mq_eight_f32){vfmaq_f32(a.even, b.even, c.even), vfmaq_f32(a.odd, b.odd, c.odd)};
}

/* 1 - a */
static inline mq_eight_f32 mq_eight_rest(mq_eight_f32 a) {
    const float32x4_t one = vdupq_n_f32(1.0f);
    return (mq_eight_f32){vsubq_f32(one, a.even), vsubq_f32(one, a.odd)};
}

/* Eight values in f16, of which `count` are there. */
static inline mq_eight_f32 mq_eight_of_half(const mq_f16 *x, uint32_t count) {
    return mq_eight_widened(mq_load_some_f16(x, vctp16q(count)));
}

#endif
