/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

float mq_fn_clip(float x, const float *parameters) {
    const float raised = x < parameters[0] ? parameters[0] : x;
    return raised > parameters[1] ? parameters[1] : raised;
}
