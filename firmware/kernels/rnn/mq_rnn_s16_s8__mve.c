/* Packed rows of up to MQ_UNITS units at a time; mq_rnn.h, mq_mve_rows.h and mq_mve_scale.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_rnn.h"

#include <string.h>

#include "mq_mve_gates.h"

/* One step of one sequence in direction d. */
static void step(const int16_t *x, const int8_t *w, const int8_t *r, const int8_t *h, int8_t *next, uint32_t d,
                 const mq_rnn_params *p) {
    mq_vector_s16 vx;
    mq_vector_s8 vh;
    int32_t x_sums[MQ_UNITS], h_sums[MQ_UNITS];
    mq_vector_of_s16(&vx, x, p->inputs);
    mq_vector_of_s8(&vh, h, p->units);
    for (uint32_t j = 0; j < p->units; j += MQ_UNITS) {
        const uint32_t count = p->units - j < MQ_UNITS ? p->units - j : MQ_UNITS;
        const uint32_t q = d * p->units + j;
        mq_gate_sums_s16(&vx, w, q, p->bias + q, p->x_multiplier, p->x_shift, count, x_sums);
        mq_gate_sums_s8(&vh, r, q, NULL, p->h_multiplier, p->h_shift, count, h_sums);
        for (uint32_t k = 0; k < count; k += 4u) {
            const int32x4_t sum = vaddq_s32(vldrwq_s32(x_sums + k), vldrwq_s32(h_sums + k));
            const int32x4_t gate = mq_gate_s32(sum, p->tanh_clip, p->tanh_table);
            vstrbq_p_s32(next + j + k, mq_q30_to_s8_s32(vshlq_n_s32(gate, 15)), vctp32q(count - k));
        }
    }
}

void mq_rnn_s16_s8(const int16_t *x, const int8_t *w, const int8_t *r, int8_t *h, int8_t *y, int8_t *next,
                   const mq_rnn_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            int8_t *state = h + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                int8_t *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
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
