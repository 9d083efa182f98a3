/* A probability as a decision, with hysteresis; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_audio.h"

void mq_activity(const float *x, float *level, int32_t *run, float *probability, uint8_t *active,
                 const mq_activity_params *p) {
    level[0] += p->smoothing * (x[0] - level[0]);
    const int32_t was = run[0];
    const int32_t is = level[0] >= (was ? p->release : p->threshold);
    run[1] = is == was ? 0 : run[1] + 1;
    if (run[1] > 0 && (uint32_t)run[1] >= (was ? p->hold : p->attack)) {
        run[0] = is;
        run[1] = 0;
    }
    probability[0] = level[0];
    active[0] = (uint8_t)run[0];
}
