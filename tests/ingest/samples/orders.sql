-- Orders of the shop, and what is in stock.
CREATE TYPE order_state AS ENUM ('open', 'paid', 'shipped', 'cancelled');

/* One row for each order of a customer. */
CREATE TABLE shop.orders (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES shop.customers (id),
    state       order_state NOT NULL DEFAULT 'open',
    total_cents integer NOT NULL CHECK (total_cents >= 0),
    currency    char(3) NOT NULL DEFAULT 'EUR',
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX orders_by_customer ON shop.orders (customer_id, created_at DESC);

CREATE VIEW open_orders AS
SELECT customer.name, count(*) AS orders, sum(purchase.total_cents) AS total_cents, min(purchase.created_at) AS oldest
  FROM shop.orders AS purchase
  JOIN shop.customers AS customer ON customer.id = purchase.customer_id
 WHERE purchase.state = 'open'
 GROUP BY customer.name;

CREATE FUNCTION cancel_order(order_id bigint) RETURNS integer
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE shop.orders SET state = 'cancelled' WHERE id = order_id AND state = 'open';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'order % is not open', order_id;
    END IF;
    RETURN order_id;
END;
$$;

INSERT INTO shop.customers (name, email_domain, discount) VALUES ('Ada', 'example.org', 10), ('Grace', 'example.com', 5);
