/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_gru.h"

#include <string.h>

#include "mq_recurrent.h"

/* What x adds to the sum of row q. */
static int32_t from_x(const int16_t *x, const int8_t *w, size_t q, const mq_gru_params *p) {
    return mq_requantise(mq_dot_s16_s8(x, w + q * p->inputs, p->inputs, p->bias[q]), p->x_multiplier[q], p->x_shift[q]);
}

/* What h adds to it. */
static int32_t from_h(const int8_t *h, const int8_t *r, size_t q, int32_t bias, const mq_gru_params *p) {
    return mq_requantise(mq_dot_s8(h, r + q * p->units, p->units, bias), p->h_multiplier[q], p->h_shift[q]);
}

/* One step of one sequence in direction d. */
static void step(const int16_t *x, const int8_t *w, const int8_t *r, const int16_t *h, int16_t *next, int8_t *copies,
                 size_t d, const mq_gru_params *p) {
    const size_t units = p->units;
    const size_t z_row = 3u * d * units;
    const size_t r_row = z_row + units;
    const size_t n_row = r_row + units;
    const int8_t *read = copies;
    int8_t *reset = copies + units;
    for (uint32_t j = 0; j < units; j++) {
        copies[j] = mq_q30_to_s8(32768 * h[j]);
    }
    if (!p->linear_before_reset) {
        for (size_t j = 0; j < units; j++) {
            const int32_t sum = from_x(x, w, r_row + j, p) + from_h(read, r, r_row + j, 0, p);
            reset[j] = mq_q30_to_s8(mq_gate(sum, p->sigmoid_clip, p->sigmoid_table) * h[j]);
        }
    }
    for (size_t j = 0; j < units; j++) {
        const int32_t z_sum = from_x(x, w, z_row + j, p) + from_h(read, r, z_row + j, 0, p);
        const int32_t z = mq_gate(z_sum, p->sigmoid_clip, p->sigmoid_table);
        int32_t sum = from_x(x, w, n_row + j, p);
        if (p->linear_before_reset) {
            const int32_t r_sum = from_x(x, w, r_row + j, p) + from_h(read, r, r_row + j, 0, p);
            const int32_t gate = mq_gate(r_sum, p->sigmoid_clip, p->sigmoid_table);
            sum += mq_mulhr(from_h(read, r, n_row + j, p->e[d * units + j], p), 65536 * gate);
        } else {
            sum += from_h(reset, r, n_row + j, 0, p);
        }
        const int32_t n = mq_gate(sum, p->tanh_clip, p->tanh_table);
        next[j] = (int16_t)mq_rshr(z * h[j] + (32768 - z) * n, 15);
    }
}

void mq_gru_s16_s8(const int16_t *x, const int8_t *w, const int8_t *r, int16_t *h, int8_t *y, int16_t *next,
                   int8_t *copies, const mq_gru_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            int16_t *state = h + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                int8_t *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
                if (t >= length) {
                    if (out) {
                        memset(out, 0, p->units * sizeof *out);
                    }
                    continue;
                }
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, next, copies, d, p);
                memcpy(state, next, bytes);
                if (out) {
                    for (uint32_t j = 0; j < p->units; j++) {
                        out[j] = mq_q30_to_s8(32768 * next[j]);
                    }
                }
            }
        }
    }
}
