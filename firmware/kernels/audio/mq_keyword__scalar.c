/* Posteriors as recognised words; see mq_audio.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "mq_audio.h"

void mq_keyword(const float *x, float *last, int32_t *place, int32_t *keyword, float *score,
                const mq_keyword_params *p) {
    memcpy(last + (uint32_t)place[0] * p->classes, x, p->classes * sizeof(float));
    place[0] = (uint32_t)place[0] + 1u < p->calls ? place[0] + 1 : 0;
    int32_t best = -1;
    float largest = 0.0f;
    for (uint32_t c = 0; c < p->classes; c++) {
        float sum = 0.0f;
        for (uint32_t i = 0; i < p->calls; i++) {
            sum += last[i * p->classes + c];
        }
        const float mean = sum / (float)p->calls;
        if (p->wanted[c] && (best < 0 || mean > largest)) {
            best = (int32_t)c;
            largest = mean;
        }
    }
    const int32_t silent = place[1] > 0;
    const int32_t found = !silent && best >= 0 && largest >= p->threshold;
    place[1] = found ? (int32_t)p->refractory : (silent ? place[1] - 1 : 0);
    keyword[0] = found ? best : -1;
    score[0] = largest;
}
