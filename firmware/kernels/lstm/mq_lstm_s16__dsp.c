/* Packed rows of four units at a time; mq_lstm.h and mq_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_lstm.h"

#include <string.h>

#include "mq_lstm_cell.h"
#include "mq_rows.h"

/* What x adds to the sums of `count` <= 4 units, which begin at row q. */
static void from_x(const mq_vector_s16 *v, const mq_word *w, uint32_t q, uint32_t count, int32_t *sums,
                   const mq_lstm_params *p) {
    int32_t acc[4];
    mq_rows_s16(v, w, count, acc);
    for (uint32_t k = 0; k < count; k++, q++) {
        sums[k] = mq_requantise(acc[k] + p->bias[q], p->x_multiplier[q], p->x_shift[q]);
    }
}

/* What h adds to them. */
static void from_h(const mq_vector_s16 *v, const mq_word *r, uint32_t q, uint32_t count, int32_t *sums,
                   const mq_lstm_params *p) {
    int32_t acc[4];
    mq_rows_s16(v, r, count, acc);
    for (uint32_t k = 0; k < count; k++, q++) {
        sums[k] += mq_requantise(acc[k], p->h_multiplier[q], p->h_shift[q]);
    }
}

/* One step of one sequence in direction d. */
static void step(const int16_t *x, const int8_t *w, const int8_t *r, const int16_t *h, int16_t *c, int16_t *next,
                 uint32_t d, const mq_lstm_params *p) {
    const mq_vector_s16 vx = mq_vector_of_s16(x, p->inputs);
    const mq_vector_s16 vh = mq_vector_of_s16(h, p->units);
    for (uint32_t j = 0; j < p->units; j += 4u) {
        const uint32_t count = p->units - j < 4u ? p->units - j : 4u;
        int32_t sums[4][4];
        for (uint32_t gate = 0; gate < 4u; gate++) {
            const uint32_t group = d * 4u + gate;
            const uint32_t q = group * p->units + j;
            const mq_word *from_w = mq_rows_from((const mq_word *)w, group, j, p->units, p->inputs);
            const mq_word *from_r = mq_rows_from((const mq_word *)r, group, j, p->units, p->units);
            from_x(&vx, from_w, q, count, sums[gate], p);
            from_h(&vh, from_r, q, count, sums[gate], p);
        }
        for (uint32_t k = 0; k < count; k++) {
            const int32_t sum[4] = {sums[0][k], sums[1][k], sums[2][k], sums[3][k]};
            next[j + k] = mq_q30_to_s16(mq_lstm_cell(sum, &c[j + k], p));
        }
    }
}

void mq_lstm_s16(const int16_t *x, const int8_t *w, const int8_t *r, int16_t *h, int16_t *c, int16_t *y, int16_t *next,
                 const mq_lstm_params *p) {
    const size_t bytes = p->units * sizeof *next;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            int16_t *state = h + mq_state_at(d, n, p->batch, p->units);
            int16_t *cell = c + mq_state_at(d, n, p->batch, p->units);
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, cell, next, d, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
