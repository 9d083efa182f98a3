/* The GRU layers with s8 weights for Helium: packed rows of up to MQ_UNITS units at a time. mq_gru.h, mq_mve_rows.h and
 * mq_mve_scale.h have the mathematics. A file defines MQ_X and MQ_H, which end a name by the format of x and of h as
 * the products read it, and calls `run` from its function. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "mq_gru.h"
#include "mq_mve_gates.h"

/* The state as the products read it: itself, or a copy in s8. */
static inline const int8_t *mq_gru_read_s8(const int16_t *h, int8_t *copy, uint32_t units) {
    for (uint32_t j = 0; j < units; j += 4u) {
        const mve_pred16_t some = vctp32q(units - j);
        mq_put_q15_s8(copy + j, vldrhq_z_s32(h + j, some), some);
    }
    return copy;
}

static inline const int16_t *mq_gru_read_s16(const int16_t *h, const int16_t *copy, uint32_t units) {
    (void)copy;
    (void)units;
    return h;
}

/* The state as a result. */
static inline void mq_gru_write_s8(const int16_t *h, int8_t *y, uint32_t units) {
    (void)mq_gru_read_s8(h, y, units);
}

static inline void mq_gru_write_s16(const int16_t *h, int16_t *y, uint32_t units) {
    memcpy(y, h, units * sizeof *h);
}

/* One step reads these: x and h, and the packed matrices. */
typedef struct {
    MQ_X(mq_vector) x;
    MQ_H(mq_vector) h;
    const int8_t *w;
    const int8_t *r;
} operands;

/* Gate z or r of `count` units, the first of which has row q. */
static void sigmoid(const operands *v, uint32_t q, uint32_t count, int32_t *gates, const mq_gru_params *p) {
    int32_t h_sums[MQ_UNITS];
    MQ_X(mq_gate_sums)(&v->x, v->w, q, p->bias + q, p->x_multiplier, p->x_shift, count, gates);
    MQ_H(mq_gate_sums)(&v->h, v->r, q, NULL, p->h_multiplier, p->h_shift, count, h_sums);
    for (uint32_t k = 0; k < count; k += 4u) {
        const int32x4_t sum = vaddq_s32(vldrwq_s32(gates + k), vldrwq_s32(h_sums + k));
        vstrwq_s32(gates + k, mq_gate_s32(sum, p->sigmoid_clip, p->sigmoid_table));
    }
}

/* r h, the vector that R_n reads without linear_before_reset. `row`: the first row of gate r. */
static void reset_state(const operands *v, uint32_t row, const int16_t *h, MQ_H(mq_value) * reset,
                        const mq_gru_params *p) {
    int32_t gates[MQ_UNITS];
    for (uint32_t j = 0; j < p->units; j += MQ_UNITS) {
        const uint32_t count = p->units - j < MQ_UNITS ? p->units - j : MQ_UNITS;
        sigmoid(v, row + j, count, gates, p);
        for (uint32_t k = 0; k < count; k += 4u) {
            const mve_pred16_t some = vctp32q(count - k);
            const int32x4_t product = vmulq_s32(vldrwq_s32(gates + k), vldrhq_z_s32(h + j + k, some));
            MQ_H(mq_put_q30)(reset + j + k, product, some);
        }
    }
}

/* rshr(z h + (2^15 - z) n, 15) of `count` units. */
static void mix(const int32_t *z, const int32_t *x_sums, const int32_t *h_sums, const int16_t *h, int16_t *next,
                uint32_t count, const mq_gru_params *p) {
    for (uint32_t k = 0; k < count; k += 4u) {
        const mve_pred16_t some = vctp32q(count - k);
        const int32x4_t sum = vaddq_s32(vldrwq_s32(x_sums + k), vldrwq_s32(h_sums + k));
        const int32x4_t n = mq_gate_s32(sum, p->tanh_clip, p->tanh_table);
        const int32x4_t gate = vldrwq_s32(z + k);
        const int32x4_t kept = vmulq_s32(gate, vldrhq_z_s32(h + k, some));
        const int32x4_t added = vmulq_s32(vsubq_s32(vdupq_n_s32(32768), gate), n);
        vstrhq_p_s32(next + k, vrshrq_n_s32(vaddq_s32(kept, added), 15), some);
    }
}

/* One step of one sequence in direction d. */
static void step(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, const int16_t *h, int16_t *next,
                 MQ_H(mq_value) * copy, MQ_H(mq_value) * reset, uint32_t d, const mq_gru_params *p) {
    const uint32_t units = p->units;
    const uint32_t z_row = 3u * d * units;
    const uint32_t r_row = z_row + units;
    const uint32_t n_row = r_row + units;
    int32_t gates[MQ_UNITS], x_sums[MQ_UNITS], h_sums[MQ_UNITS];
    operands v;
    v.w = w;
    v.r = r;
    MQ_X(mq_vector_of)(&v.x, x, p->inputs);
    MQ_H(mq_vector_of)(&v.h, MQ_H(mq_gru_read)(h, copy, units), units);
    MQ_H(mq_vector) inner = v.h;
    if (!p->linear_before_reset) {
        reset_state(&v, r_row, h, reset, p);
        MQ_H(mq_vector_of)(&inner, reset, units);
    }
    for (uint32_t j = 0; j < units; j += MQ_UNITS) {
        const uint32_t count = units - j < MQ_UNITS ? units - j : MQ_UNITS;
        const uint32_t q = n_row + j;
        const int32_t *e = p->linear_before_reset ? p->e + d * units + j : NULL;
        MQ_X(mq_gate_sums)(&v.x, w, q, p->bias + q, p->x_multiplier, p->x_shift, count, x_sums);
        MQ_H(mq_gate_sums)(&inner, r, q, e, p->h_multiplier, p->h_shift, count, h_sums);
        if (p->linear_before_reset) {
            sigmoid(&v, r_row + j, count, gates, p);
            for (uint32_t k = 0; k < count; k += 4u) {
                const int32x4_t gate = vshlq_n_s32(vldrwq_s32(gates + k), 16);
                vstrwq_s32(h_sums + k, vrmulhq_s32(vldrwq_s32(h_sums + k), gate));
            }
        }
        sigmoid(&v, z_row + j, count, gates, p);
        mix(gates, x_sums, h_sums, h + j, next + j, count, p);
    }
}

/* `copy` and `reset`: room for the state and for r h as the products read them. */
static void run(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, int16_t *h, MQ_H(mq_value) * y,
                int16_t *next, MQ_H(mq_value) * copy, MQ_H(mq_value) * reset, const mq_gru_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            int16_t *state = h + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                MQ_H(mq_value) *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
                if (t >= length) {
                    if (out) {
                        memset(out, 0, p->units * sizeof *out);
                    }
                    continue;
                }
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, next, copy, reset, d, p);
                memcpy(state, next, bytes);
                if (out) {
                    MQ_H(mq_gru_write)(next, out, p->units);
                }
            }
        }
    }
}
