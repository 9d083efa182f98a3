/* The GRU layers with s8 weights, for any way to multiply rows; mq_gru.h has the mathematics.
 *
 * A file includes mq_rows.h or mq_plain_rows.h, defines MQ_X and MQ_H, which end a name by the format of x and of h as
 * the products read it, and calls `run` from its function.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "mq_gru.h"
#include "mq_recurrent.h"

/* What turns an accumulator of x into a sum; a file for inputs with the scale of the frame defines it beforehand, and
 * what carries that scale: MQ_FRAME, a parameter, and MQ_FRAME_GIVEN, what is passed for it. */
#ifndef MQ_FRAME
#define MQ_FRAME
#define MQ_FRAME_GIVEN
#define MQ_X_SUM(acc, q, p) mq_requantise((acc) + (p)->bias[q], (p)->x_multiplier[q], (p)->x_shift[q])
#endif

/* The state as the products read it: itself, or a copy in s8. */
static inline const int16_t *mq_gru_read_s16(const int16_t *h, const int16_t *copy, uint32_t units) {
    (void)copy;
    (void)units;
    return h;
}

static inline const int8_t *mq_gru_read_s8(const int16_t *h, int8_t *copy, uint32_t units) {
    for (uint32_t j = 0; j < units; j++) {
        copy[j] = mq_q30_to_s8(32768 * h[j]);
    }
    return copy;
}

/* One step reads these: x and h, and the matrices. */
typedef struct {
    MQ_X(mq_vector) x;
    MQ_H(mq_vector) h;
    const int8_t *w;
    const int8_t *r;
} operands;

/* What x adds to the sums of `count` <= 4 units from j on, of a gate; groups are gates of a direction. */
static void from_x(const operands *v, uint32_t group, uint32_t j, uint32_t count, int32_t *sums,
                   MQ_FRAME const mq_gru_params *p) {
    uint32_t q = group * p->units + j;
    int32_t acc[4];
    MQ_X(mq_rows)(&v->x, mq_rows_from(v->w, group, j, p->units, p->inputs), count, acc);
    for (uint32_t k = 0; k < count; k++, q++) {
        sums[k] = MQ_X_SUM(acc[k], q, p);
    }
}

/* What h, or a vector like it, adds to them, with a bias or NULL. */
static void from_h(const MQ_H(mq_vector) * h, const operands *v, uint32_t group, uint32_t j, uint32_t count,
                   const int32_t *bias, int32_t *sums, const mq_gru_params *p) {
    uint32_t q = group * p->units + j;
    int32_t acc[4];
    MQ_H(mq_rows)(h, mq_rows_from(v->r, group, j, p->units, p->units), count, acc);
    for (uint32_t k = 0; k < count; k++, q++) {
        const int32_t sum = bias ? acc[k] + bias[k] : acc[k];
        sums[k] = mq_requantise(sum, p->h_multiplier[q], p->h_shift[q]);
    }
}

/* Gate z or r of `count` units. */
static void sigmoid(const operands *v, uint32_t group, uint32_t j, uint32_t count, int32_t *gates,
                    MQ_FRAME const mq_gru_params *p) {
    int32_t h_sums[4];
    from_x(v, group, j, count, gates, MQ_FRAME_GIVEN p);
    from_h(&v->h, v, group, j, count, NULL, h_sums, p);
    for (uint32_t k = 0; k < count; k++) {
        gates[k] = mq_gate(gates[k] + h_sums[k], p->sigmoid_clip, p->sigmoid_table);
    }
}

/* One step of one sequence in direction d, four units at a time. read: h as the products read it; reset: room for as
 * many values. */
static void step(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, const int16_t *h, int16_t *next,
                 const MQ_H(mq_value) * read, MQ_H(mq_value) * reset, uint32_t d, MQ_FRAME const mq_gru_params *p) {
    const uint32_t units = p->units;
    const uint32_t z_group = 3u * d;
    const uint32_t r_group = z_group + 1u;
    const uint32_t n_group = z_group + 2u;
    const operands v = {MQ_X(mq_vector_of)(x, p->inputs), MQ_H(mq_vector_of)(read, units), w, r};
    MQ_H(mq_vector) inner = v.h;
    int32_t gates[4], x_sums[4], h_sums[4];
    if (!p->linear_before_reset) {
        for (uint32_t j = 0; j < units; j += 4u) {
            const uint32_t count = units - j < 4u ? units - j : 4u;
            sigmoid(&v, r_group, j, count, gates, MQ_FRAME_GIVEN p);
            for (uint32_t k = 0; k < count; k++) {
                reset[j + k] = MQ_H(mq_q30_to)(gates[k] * h[j + k]);
            }
        }
        inner = MQ_H(mq_vector_of)(reset, units);
    }
    for (uint32_t j = 0; j < units; j += 4u) {
        const uint32_t count = units - j < 4u ? units - j : 4u;
        const int32_t *e = p->linear_before_reset ? p->e + d * units + j : NULL;
        from_x(&v, n_group, j, count, x_sums, MQ_FRAME_GIVEN p);
        from_h(&inner, &v, n_group, j, count, e, h_sums, p);
        if (p->linear_before_reset) {
            sigmoid(&v, r_group, j, count, gates, MQ_FRAME_GIVEN p);
            for (uint32_t k = 0; k < count; k++) {
                h_sums[k] = mq_mulhr(h_sums[k], 65536 * gates[k]);
            }
        }
        sigmoid(&v, z_group, j, count, gates, MQ_FRAME_GIVEN p);
        for (uint32_t k = 0; k < count; k++) {
            const int32_t n = mq_gate(x_sums[k] + h_sums[k], p->tanh_clip, p->tanh_table);
            next[j + k] = (int16_t)mq_rshr(gates[k] * h[j + k] + (32768 - gates[k]) * n, 15);
        }
    }
}

/* All steps of all sequences. copy, reset: room for `units` values each; the s16 layers need no copy. */
static void run(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, int16_t *h, MQ_H(mq_value) * y,
                int16_t *next, MQ_H(mq_value) * copy, MQ_H(mq_value) * reset, MQ_FRAME const mq_gru_params *p) {
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            int16_t *state = h + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                MQ_H(mq_value) *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
                if (t < length) {
                    const MQ_H(mq_value) *read = MQ_H(mq_gru_read)(state, copy, p->units);
                    step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, next, read, reset, d,
                         MQ_FRAME_GIVEN p);
                    memcpy(state, next, p->units * sizeof *next);
                }
                for (uint32_t j = 0; out && j < p->units; j++) {
                    out[j] = t < length ? MQ_H(mq_q30_to)(32768 * next[j]) : 0;
                }
            }
        }
    }
}
