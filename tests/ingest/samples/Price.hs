module Shop.Price (Price (..), discounted, total) where

import Data.List (foldl')
import qualified Data.Map.Strict as Map

-- | An amount of money in cents.
data Price = Price
  { cents :: Int
  , currency :: String
  }
  deriving (Eq, Show)

newtype Discount = Discount Double

class Priced a where
  priceOf :: a -> Price
  describe :: a -> String
  describe = show . priceOf

instance Priced Price where
  priceOf = id

-- | Takes a discount off a price, never below zero.
discounted :: Discount -> Price -> Either String Price
discounted (Discount share) price
  | share < 0 = Left "a discount cannot be negative, because prices never rise"
  | share > 1 = Left "a discount cannot be larger than the price itself"
  | otherwise = Right price { cents = max 0 rounded }
  where
    rounded = round (fromIntegral (cents price) * (1 - share))

total :: Map.Map String Price -> [String] -> Int
total _ [] = 0
total prices articles = foldl' add 0 articles
  where
    add sum article = case Map.lookup article prices of
      Just price -> sum + cents price
      Nothing -> error ("there is no price of the article that is called " ++ article ++ " in this list of prices")
