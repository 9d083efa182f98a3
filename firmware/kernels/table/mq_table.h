/* A function of one variable by table: y[i] = f(x[i]) for any f, made at generation time.
 *
 *   s8    y[i] = table[x[i] + 128], 256 entries: exact for every f.
 *   s16   y[i] = mq_lookup(x[i], table), 513 entries and linear interpolation (mq_fixed.h).
 *
 * x, y: n values each; y may be x. The scales of x and y are in the table.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_TABLE_H
#define MQ_TABLE_H

#include "mq_base.h"

void mq_table_s8(const int8_t *x, int8_t *y, uint32_t n, const int8_t *table);
void mq_table_s16(const int16_t *x, int16_t *y, uint32_t n, const int16_t *table);

#endif
