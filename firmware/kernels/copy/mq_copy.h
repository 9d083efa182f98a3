/* Plain movement of stored values.
 *
 *   copy:  y[i] = x[i]     fill:  y[i] = value      for i in [0, bytes)
 *
 * x, y: any format, `bytes` long, y not overlapping x. fill writes the byte `value` (0 for floats and symmetric
 * integers, the zero point for s8), so that each element is the real number 0.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_COPY_H
#define MQ_COPY_H

#include "mq_base.h"

void mq_copy(const void *x, void *y, uint32_t bytes);
void mq_fill(void *y, int32_t value, uint32_t bytes);

#endif
