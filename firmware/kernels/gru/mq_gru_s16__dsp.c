/* Packed rows of four units at a time; mq_gru.h and mq_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_gru.h"

#include <string.h>

#include "mq_recurrent.h"
#include "mq_rows.h"

/* One step reads these: x and h, and the packed matrices. */
typedef struct {
    mq_vector_s16 x;
    mq_vector_s16 h;
    const mq_word *w;
    const mq_word *r;
} operands;

/* What x adds to the sums of `count` <= 4 units from j on, of a gate; groups are gates of a direction. */
static void from_x(const operands *v, uint32_t group, uint32_t j, uint32_t count, int32_t *sums,
                   const mq_gru_params *p) {
    uint32_t q = group * p->units + j;
    int32_t acc[4];
    mq_rows_s16(&v->x, mq_rows_from(v->w, group, j, p->units, p->inputs), count, acc);
    for (uint32_t k = 0; k < count; k++, q++) {
        sums[k] = mq_requantise(acc[k] + p->bias[q], p->x_multiplier[q], p->x_shift[q]);
    }
}

/* What h, or a vector like it, adds to them, with a bias or NULL. */
static void from_h(const mq_vector_s16 *h, const operands *v, uint32_t group, uint32_t j, uint32_t count,
                   const int32_t *bias, int32_t *sums, const mq_gru_params *p) {
    uint32_t q = group * p->units + j;
    int32_t acc[4];
    mq_rows_s16(h, mq_rows_from(v->r, group, j, p->units, p->units), count, acc);
    for (uint32_t k = 0; k < count; k++, q++) {
        const int32_t sum = bias ? acc[k] + bias[k] : acc[k];
        sums[k] = mq_requantise(sum, p->h_multiplier[q], p->h_shift[q]);
    }
}

/* Gate z or r of `count` units. */
static void sigmoid(const operands *v, uint32_t group, uint32_t j, uint32_t count, int32_t *gates,
                    const mq_gru_params *p) {
    int32_t h_sums[4];
    from_x(v, group, j, count, gates, p);
    from_h(&v->h, v, group, j, count, NULL, h_sums, p);
    for (uint32_t k = 0; k < count; k++) {
        gates[k] = mq_gate(gates[k] + h_sums[k], p->sigmoid_clip, p->sigmoid_table);
    }
}

/* One step of one sequence in direction d. */
static void step(const int16_t *x, const int8_t *w, const int8_t *r, const int16_t *h, int16_t *next, uint32_t d,
                 const mq_gru_params *p) {
    const uint32_t units = p->units;
    const uint32_t z_group = 3u * d;
    const uint32_t r_group = z_group + 1u;
    const uint32_t n_group = z_group + 2u;
    int16_t *reset = next + units;
    const mq_vector_s16 vh = mq_vector_of_s16(h, units);
    const operands v = {mq_vector_of_s16(x, p->inputs), vh, (const mq_word *)w, (const mq_word *)r};
    mq_vector_s16 inner = vh;
    int32_t gates[4], x_sums[4], h_sums[4];
    if (!p->linear_before_reset) {
        for (uint32_t j = 0; j < units; j += 4u) {
            const uint32_t count = units - j < 4u ? units - j : 4u;
            sigmoid(&v, r_group, j, count, gates, p);
            for (uint32_t k = 0; k < count; k++) {
                reset[j + k] = mq_q30_to_s16(gates[k] * h[j + k]);
            }
        }
        inner = mq_vector_of_s16(reset, units);
    }
    for (uint32_t j = 0; j < units; j += 4u) {
        const uint32_t count = units - j < 4u ? units - j : 4u;
        const int32_t *e = p->linear_before_reset ? p->e + d * units + j : NULL;
        from_x(&v, n_group, j, count, x_sums, p);
        from_h(&inner, &v, n_group, j, count, e, h_sums, p);
        if (p->linear_before_reset) {
            sigmoid(&v, r_group, j, count, gates, p);
            for (uint32_t k = 0; k < count; k++) {
                h_sums[k] = mq_mulhr(h_sums[k], 65536 * gates[k]);
            }
        }
        sigmoid(&v, z_group, j, count, gates, p);
        for (uint32_t k = 0; k < count; k++) {
            const int32_t n = mq_gate(x_sums[k] + h_sums[k], p->tanh_clip, p->tanh_table);
            next[j + k] = (int16_t)mq_rshr(gates[k] * h[j + k] + (32768 - gates[k]) * n, 15);
        }
    }
}

void mq_gru_s16(const int16_t *x, const int8_t *w, const int8_t *r, int16_t *h, int16_t *y, int16_t *next,
                const mq_gru_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            int16_t *state = h + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                int16_t *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
                if (t >= length) {
                    if (out) {
                        memset(out, 0, bytes);
                    }
                    continue;
                }
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, next, d, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
